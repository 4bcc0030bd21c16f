//! A pod beside the node of a test: a network of its own, with the node as its only way out.

use std::net::UdpSocket;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use hickory_proto::rr::RecordType::A;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::client::Ask;
use super::namespace::Ip;
use super::wait::PATIENCE;

/// Where the pod is, and where the node is on its link.
pub(crate) const POD: &str = "10.244.1.2";
pub(crate) const GATEWAY: &str = "10.244.1.1";

type Job = Box<dyn FnOnce() + Send>;

/// Its network ends with it.
pub(crate) struct Pod {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Pod {
    /// Makes one beside the network that this thread is in.
    pub(crate) fn beside(ip: &Ip) -> Self {
        let (tell, told) = channel();
        let (jobs, queue) = channel::<Job>();
        let name = thread::current().name().unwrap_or("a pod").to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(gettid()).unwrap();
            queue.into_iter().for_each(|job| job());
        });
        let inside = told.recv().unwrap();
        ip.run("link add node2pod type veth peer name eth0");
        ip.run(&format!("link set eth0 netns {inside}"));
        ip.run(&format!("address add {GATEWAY}/24 dev node2pod"));
        ip.run("link set node2pod up");
        let pod = Self { jobs: Some(jobs), thread: Some(thread.unwrap()) };
        let ip = ip.clone();
        pod.run(move || {
            ip.run("link set lo up");
            ip.run(&format!("address add {POD}/24 dev eth0"));
            ip.run("link set eth0 up");
            ip.run(&format!("route add default via {GATEWAY}"));
        });
        pod
    }

    /// The addresses that the server has for this name, asked over UDP or over TCP.
    pub(crate) fn asks(&self, server: &str, name: &str, over_tcp: bool) -> Vec<String> {
        let (server, question) = (server.parse().unwrap(), Ask::new(name, A));
        self.run(move || {
            let reply = if over_tcp {
                question.tcp(server)
            } else {
                let socket = UdpSocket::bind((POD, 0)).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                question.over(&socket, server)
            };
            reply.data(A)
        })
    }

    /// Does this in the pod.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job: Job = Box::new(move || tell.send(job()).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        told.recv().expect("what was done in the pod has failed")
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.jobs = None;
        // A panic in there was seen when its result was waited for.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
