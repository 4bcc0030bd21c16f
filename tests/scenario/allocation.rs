//! A hit allocates nothing, and so decodes nothing: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use zerohop::dns::Protocol;

use crate::world::{Act, World, packet, play};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // The thread may be on its way out, past its thread-locals.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

#[expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONFIG: &str = r"
[[zone]]
name = 'local.example'
records = ['api A 10.0.0.10', '*.apps A 10.0.0.20', 'api A 10.0.0.11']
[[zone.match]]
pattern = '^ip-(\d+)\.local\.example$'
answer = ['A 10.1.0.$1']
[[zone]]
name = '.'
forward = ['10.0.0.1']
";

#[test]
fn a_hit_allocates_nothing() {
    play(|| async {
        let world = World::new(CONFIG);
        world.script(|_, question| match question {
            "www.example. A" => Act::data(
                "www.example. 300 CNAME web.example.\nweb.example. 300 A 192.0.2.1\nweb.example. 300 A 192.0.2.2",
            ),
            _ => Act::nxdomain("example. 300 SOA ns.example. host.example. 1 2 3 4 60"),
        });
        let questions = [
            "www.example. A",
            "no.example. A",
            "api.local.example. A",
            "api.local.example. AAAA",
            "x.apps.local.example. A",
            "none.local.example. A",
            "ip-7.local.example. A",
        ];
        for question in questions {
            let asked = packet(question);
            // Learnt by the first, found and put into the front by the second.
            world.ask_worker(0, &asked).await.unwrap();
            world.settle();
            world.ask_worker(0, &asked).await.unwrap();
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let mut reply = [0; 1232];
                let before = ALLOCATIONS.get();
                for _ in 0..1000 {
                    assert!(world.hit(&asked, protocol, &mut reply) > 12);
                }
                assert_eq!(ALLOCATIONS.get() - before, 0, "{question} over {protocol:?}");
            }
        }
    });
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(Box::new([0u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
