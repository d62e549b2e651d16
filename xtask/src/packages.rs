//! What the tests need from Debian.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// A package and a file that shows it is there.
const NEEDED: [(&str, &str); 6] = [
    ("postfix", "/usr/sbin/postfix"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap"),
    ("prometheus-node-exporter", "/usr/bin/prometheus-node-exporter"),
    ("chromium", "/usr/bin/chromium"),
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    ("gcc", "/usr/bin/cc"),
];

/// Installs what is missing when root; otherwise names it and fails.
pub fn install() -> Result<()> {
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    let node = Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    if !node {
        bail!("Node.js with npm is missing: the web UI is built with it (Debian: apt-get install nodejs npm)");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let words = missing.join(" ");
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root {
        bail!("the tests need Debian packages that are missing; as root: apt-get install {words}");
    }
    eprintln!("== installing {words}");
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // The tests bring their own configuration and ports; the packages' own services are not wanted.
            .env("RUNLEVEL", "1")
            .status()
            .is_ok_and(|status| status.success())
    };
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&missing);
    if !apt(&["update", "-q"]) || !apt(&arguments) {
        bail!("apt-get could not install {words}");
    }
    Ok(())
}
