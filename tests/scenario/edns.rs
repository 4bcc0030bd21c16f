//! Upstreams that do not understand EDNS.

use std::cell::Cell;
use std::rc::Rc;

use hickory_proto::op::ResponseCode;

use crate::world::{Act, WITHOUT_EDNS, World, pass, play, seconds};

const ONE: &str = "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\n";
const DATA: &str = "www.example. 1 A 192.0.2.1";

/// Answers questions without EDNS, and `rejection` to all others.
fn old_server(rejection: Act) -> World {
    let world = World::new(ONE);
    world.script(move |_, question| match question.ends_with(WITHOUT_EDNS) {
        true => Act::data(DATA),
        false => rejection.clone(),
    });
    world
}

/// The response of BADVERS: its upper bits are in the OPT record.
fn badvers() -> Act {
    let head = [0x42, 0x42, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 1];
    let opt = [0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0];
    Act::Octets([&head[..], b"\x03www\x07example\x00\x00\x01\x00\x01", &opt].concat())
}

#[test]
fn a_server_that_rejects_edns_is_asked_without_and_remembered_for_five_minutes() {
    for rejection in [Act::rcode(ResponseCode::FormErr), Act::rcode(ResponseCode::NotImp), badvers()] {
        play(|| async {
            let world = old_server(rejection.clone());
            for (wait, asked) in [(0, 2), (2, 1), (290, 1), (10, 2), (2, 1)] {
                pass(seconds(wait)).await;
                assert_eq!(world.ask("www.example. A").await.data(), ["192.0.2.1"]);
                let questions = world.asked();
                assert_eq!(questions.len(), asked, "{questions:?}");
                assert!(questions.last().is_some_and(|(_, text)| text.ends_with(WITHOUT_EDNS)));
            }
        });
    }
}

#[test]
fn a_server_that_rejects_the_question_itself_is_asked_twice_and_nothing_is_remembered() {
    play(|| async {
        let world = World::new(ONE);
        for _once_more in [false, true] {
            world.script(|_, _| Act::rcode(ResponseCode::FormErr));
            assert_eq!(world.ask("www.example. A").await.rcode(), ResponseCode::ServFail);
            assert_eq!(world.asked_count(), 2);
            world.script(|_, _| Act::data("other.example. 0 A 192.0.2.1"));
            world.ask("other.example. A").await;
            assert!(world.asked().iter().all(|(_, text)| !text.ends_with(WITHOUT_EDNS)));
            pass(seconds(10)).await;
        }
    });
}

#[test]
fn a_question_goes_to_a_server_three_times_with_edns_and_without() {
    play(|| async {
        let world = World::new(ONE);
        world.script(|_, question| match question.ends_with(WITHOUT_EDNS) {
            true => Act::Silence,
            false => Act::rcode(ResponseCode::FormErr),
        });
        world.ask("www.example. A").await;
        let asked: Vec<bool> = world.asked().iter().map(|(_, text)| text.ends_with(WITHOUT_EDNS)).collect();
        assert_eq!(asked, [false, true, true]);
    });
}

#[test]
fn of_two_servers_only_the_old_one_goes_without() {
    play(|| async {
        let world = World::new(
            "[[upstream]]\nname = 'a'\nservers = ['10.0.0.1', '10.0.0.2']\npolicy = 'sequential'\n[[zone]]\nname = '.'\nforward = ['a']\n",
        );
        let down = Rc::new(Cell::new(false));
        let is_down = Rc::clone(&down);
        world.script(move |server, question| match (server.ip().to_string().as_str(), question) {
            ("10.0.0.1", _) if is_down.get() => Act::Unreachable,
            ("10.0.0.1", question) if !question.ends_with(WITHOUT_EDNS) => Act::rcode(ResponseCode::FormErr),
            _ => Act::data(DATA),
        });
        world.ask("www.example. A").await;
        assert_eq!(world.asked_count(), 2);
        down.set(true);
        pass(seconds(2)).await;
        world.ask("www.example. A").await;
        let texts: Vec<String> = world.asked().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["www.example. A, without EDNS", "www.example. A"]);
    });
}
