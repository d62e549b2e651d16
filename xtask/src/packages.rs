//! What the tests need from Debian.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// A package and a file that shows it is there.
const NEEDED: [(&str, &str); 24] = [
    ("postfix", "/usr/sbin/postfix"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap"),
    ("dovecot-pop3d", "/usr/lib/dovecot/pop3-login"),
    ("redis-server", "/usr/bin/redis-server"),
    ("openssh-server", "/usr/sbin/sshd"),
    ("mosquitto", "/usr/sbin/mosquitto"),
    ("chrony", "/usr/sbin/chronyd"),
    ("dnsmasq-base", "/usr/sbin/dnsmasq"),
    ("unbound", "/usr/sbin/unbound"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("python3-websockets", "/usr/lib/python3/dist-packages/websockets"),
    ("postgresql", "/usr/lib/postgresql/15/bin/initdb"),
    ("mariadb-server", "/usr/sbin/mariadbd"),
    ("monitoring-plugins-basic", "/usr/lib/nagios/plugins/check_dummy"),
    ("prometheus-node-exporter", "/usr/bin/prometheus-node-exporter"),
    ("prometheus", "/usr/bin/prometheus"),
    ("prometheus-alertmanager", "/usr/bin/amtool"),
    ("victoria-metrics", "/usr/bin/victoria-metrics"),
    ("swaks", "/usr/bin/swaks"),
    ("libnet-ssleay-perl", "/usr/share/doc/libnet-ssleay-perl"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("chromium", "/usr/bin/chromium"),
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    ("gcc", "/usr/bin/cc"),
];

/// What is installed from the Python package index, each into a folder of its own: OpenTelemetry's SDK, a real sender of
/// metrics; an AWS to ask, with AWS' own client; and a client of Healthchecks.
const VENVS: [(&str, &[&str]); 3] = [
    (
        "target/opentelemetry",
        &["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "opentelemetry-exporter-otlp-proto-grpc"],
    ),
    ("target/moto", &["moto[server]", "boto3"]),
    ("target/healthchecks", &["healthchecks-io"]),
];

/// Installs what the tests need: Debian's packages, and Python's in folders below `target`.
pub fn install() -> Result<()> {
    debian()?;
    VENVS.iter().try_for_each(|(folder, packages)| python(folder, packages))
}

fn python(folder: &str, packages: &[&str]) -> Result<()> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    if venv.join("ready").exists() {
        return Ok(());
    }
    eprintln!("== installing {}", packages.join(" "));
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status().is_ok_and(|it| it.success());
    let pip = venv.join("bin/pip");
    let arguments = ["install", "--quiet", "--disable-pip-version-check"];
    if !made || !Command::new(pip).args(arguments).args(packages).status().is_ok_and(|it| it.success()) {
        bail!("{} could not be installed into {folder} with pip", packages.join(", "));
    }
    std::fs::write(venv.join("ready"), "")?;
    Ok(())
}

/// Installs what is missing when root; otherwise names it and fails.
fn debian() -> Result<()> {
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
