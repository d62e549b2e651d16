//! Discovery on a simulated host.

use expect_test::expect;
use std::path::Path;
use tokio::io::AsyncWriteExt;
use watchbell_model::{Path as Place, Problems};
use watchbell_runtime::sim;

use super::discover;

/// The kernel's table of a host that listens on these ports of all addresses.
fn table(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("0: 00000000:{port:04X} 00000000:0000 0A 0 0 0\n")).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn what_listens_is_found_and_proven() {
    let told = sim::run(1, |world| async move {
        let ports = [22, 25, 53, 80, 143, 587, 993, 3306, 5432, 6000, 8080, 9200];
        world.disk.put(Path::new("/proc/net/tcp"), table(&ports).as_bytes());
        let say = |port: u16, words: &'static str| {
            world.net.serve("127.0.0.1", port, move |mut stream| async move {
                let _ = stream.write_all(words.as_bytes()).await;
                std::future::pending::<()>().await;
            });
        };
        say(22, "SSH-2.0-OpenSSH\r\n");
        // No STARTTLS here, and an answer before it is asked for is as good as one after it.
        say(25, "220 mail ESMTP\r\n250 SIZE\r\n");
        say(80, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        say(143, "* OK ready\r\n* CAPABILITY IMAP4rev1\r\na OK\r\n");
        say(587, "");
        say(993, "* OK but no TLS here\r\n");
        say(5432, "");
        say(8080, "what?\r\n");
        say(9200, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let found = discover(&world.runtime(), &[9200]).await;
        let mut problems = Problems::new();
        let monitors: Vec<_> = found.iter().map(|found| found.monitor.clone()).collect();
        crate::probe::check_all(&monitors, &Place::root(), &mut problems);
        assert_eq!(problems, Problems::new());
        let line = |found: &super::Found| {
            let monitor = &found.monitor;
            format!(
                "{}: {} {} (run book {})\n",
                monitor.name,
                monitor.kind(),
                monitor.target(),
                monitor.runbook.as_ref().unwrap()
            )
        };
        found.iter().map(line).collect::<String>()
    });
    expect![[r#"
        ssh :22: tcp 127.0.0.1:22 (run book service-down)
        smtp :25: smtp 127.0.0.1:25 (run book service-down)
        http :80: http http://127.0.0.1:80/ (run book service-down)
        imap :143: imap 127.0.0.1:143 (run book service-down)
        submission :587: tcp 127.0.0.1:587 (run book service-down)
        imaps :993: tcp 127.0.0.1:993 (run book service-down)
        postgresql :5432: tcp 127.0.0.1:5432 (run book service-down)
        http :8080: tcp 127.0.0.1:8080 (run book service-down)
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_host_that_tells_nothing_has_nothing() {
    assert_eq!(sim::run(1, |world| async move { discover(&world.runtime(), &[]).await }), []);
}
