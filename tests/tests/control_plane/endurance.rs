//! What a wait must survive: an API server that goes away, somebody who presses Ctrl-C.

use std::io::Read;
use std::process::{Child, Command};

use kubeguard_testkit::{Behaviour, ControlPlane};

use crate::plugin::{deployment, end, start, wait_deploy_as};

const IMAGE: &str = "registry.example.org/shop/web:1";

/// Waits until the plugin has written a line that contains `text` to stderr.
fn after_line(mut child: Child, text: &str) -> Child {
    let stderr = child.stderr.as_mut().expect("a pipe");
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stderr.read(&mut byte).is_ok_and(|read| read == 1) {
        if byte == [b'\n'] {
            if String::from_utf8_lossy(&line).contains(text) {
                return child;
            }
            line.clear();
        } else {
            line.extend(byte);
        }
    }
    panic!("the plugin ended before it said {text:?}");
}

#[test]
fn a_wait_survives_a_restart_of_the_api_server() {
    let plane = ControlPlane::start();
    let namespace = plane.namespace("restart");
    plane.apply(&deployment(&namespace, "web", 2, IMAGE, &Behaviour::NeverReady));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "120s", "--follow", "-v"];
    let child = after_line(start(plane.kubeconfig(), &args), "AvailableReplicas");
    plane.stop_apiserver();
    let child = after_line(child, "trying again");
    plane.start_apiserver();
    // Rolls out only now: the wait must have found its way back.
    plane.apply(&deployment(&namespace, "web", 2, IMAGE, &Behaviour::Ready(0)));
    let ran = end(child);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.item()["generation"], 2);
}

#[test]
fn ctrl_c_prints_the_state_so_far() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("stop");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::NeverReady));
    let child =
        after_line(start(plane.kubeconfig(), &["deploy/web", "-n", &namespace, "-o", "json"]), "AvailableReplicas");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = end(child);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(
        (ran.item()["verdict"].as_str(), ran.report()["ended"].as_str()),
        (Some("progressing"), Some("interrupted"))
    );
}

#[test]
fn a_recording_of_a_live_wait_prints_the_same_bytes_twice() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("recorded");
    plane.apply(&deployment(&namespace, "web", 2, IMAGE, &Behaviour::CrashLoop(1)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.ndjson").display().to_string();
    let kubeconfig = plane.kubeconfig();
    for format in ["table", "wide", "json", "yaml", "ndjson", "name"] {
        let live = wait_deploy_as(kubeconfig, &["deploy/web", "-n", &namespace, "-o", format, "--record", &file]);
        assert_eq!(live.code, 1, "{live:?}");
        for _ in 0..2 {
            let replayed = wait_deploy_as(std::path::Path::new("/nowhere"), &["--replay", &file, "-o", format]);
            assert_eq!((replayed.code, &replayed.stdout), (1, &live.stdout), "{format}: {}", replayed.stderr);
        }
    }
    let patient = wait_deploy_as(kubeconfig, &["--replay", &file, "--tolerate", "CrashLoop", "-o", "json"]);
    assert_eq!(patient.code, 3, "what if: {patient:?}");
}

#[test]
fn the_programs_of_a_control_plane_do_not_outlive_it() {
    let plane = ControlPlane::start();
    let url = plane.url().to_owned();
    let address = url.trim_start_matches("https://").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(plane);
    assert!(std::net::TcpStream::connect(&address).is_err());
}
