//! Servers that say anything at all.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use watchbell_runtime::sim;

use super::super::MESSAGE_CHARS_MAX;
use super::{HOST, config, run_once};

/// Pieces that look like a protocol, so that more than the greeting is reached.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "(220|250|221|354|421)[ -]?[ -~]{0,20}\r?\n".prop_map(String::into_bytes),
        r"(\* (OK|BYE|CAPABILITY|NO)|\+|[a-f] (OK|NO|BAD)) ?[ -~]{0,20}(\{[0-9]{1,9}\})?\r\n"
            .prop_map(String::into_bytes),
        "HTTP/1.1 [0-9]{3} [ -~]{0,9}\r\n([a-z-]{1,9}: [0-9]{1,9}\r\n){0,3}\r\n".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said, every probe ends in time with a bounded message.
    #[test]
    fn every_probe_ends(said in anything(), close: bool) {
        sim::run(1, |world| async move {
            for monitor in [
                r#"{"tls": {"host": "mail.example", "port": 25, "roots_file": null}}"#,
                r#"{"smtp": {"host": "mail.example", "port": 25, "tls": "none", "require": ["SIZE"]}}"#,
                r#"{"smtp": {"host": "mail.example", "port": 25, "roots_file": null}}"#,
                r#"{"imap": {"host": "mail.example", "port": 25, "tls": "none", "login": {"username": "u", "password": "p"}}}"#,
                r#"{"http": {"url": "http://mail.example:25/", "roots_file": null, "json": {"path": "$.a"}}}"#,
            ] {
                let said = said.clone();
                world.net.serve(HOST, 25, move |mut stream| {
                    let said = said.clone();
                    async move {
                        let _ = stream.write_all(&said).await;
                        if !close {
                            std::future::pending::<()>().await;
                        }
                    }
                });
                let monitor = config(monitor);
                let result = run_once(&monitor, &world.runtime()).await;
                assert!(result.duration <= monitor.probe_timeout(), "{result:?}");
                assert!(result.message.chars().count() <= MESSAGE_CHARS_MAX && !result.message.is_empty());
                assert!(!result.message.chars().any(char::is_control), "{:?}", result.message);
            }
        });
    }
}
