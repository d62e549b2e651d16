//! Other people's binaries from Debian's packages, newer than the installed ones: compared by the benches, and real
//! senders for the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The suite of Debian with newer versions than the one that is installed.
const SUITE: &str = "forky";
/// The only one with a MySQL.
const NEWEST: &str = "sid";
/// MySQL's server.
const MYSQL: &str = "mysql-server-core";
/// What it names and does not need to run.
const NEEDLESS: [&str; 3] = ["perl", "openssl-provider", "libc-gconv"];

/// A binary and what it says it is.
#[derive(Clone)]
pub struct Binary {
    pub path: PathBuf,
    pub version: String,
}

/// The newer package of [`SUITE`], unpacked under `target/peers`, or the installed one with a note.
pub fn find(package: &str) -> Result<Binary> {
    let folder = crate::root().join("target/peers");
    let fetched = folder.join(package).join("usr/bin").join(package);
    if !fetched.exists()
        && let Err(error) = fetch(package, &folder)
    {
        eprintln!("{package} of {SUITE} cannot be fetched ({error:#}); the installed one is taken");
    }
    if fetched.exists() {
        return Ok(Binary { path: fetched, version: upstream(&deb(package, &folder)?.0) });
    }
    let installed = Path::new("/usr/bin").join(package);
    if !installed.exists() {
        bail!("{package} is missing: apt-get install {package}");
    }
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output()?;
    Ok(Binary { path: installed, version: upstream(&String::from_utf8_lossy(&output.stdout)) })
}

/// Unpacks the newer Prometheus, which sends remote write 2.0, where `pushed.rs` looks for it, and the newer
/// blackbox_exporter, with which `blackbox.rs` compares. Without a network the tests take the installed ones, and say so.
pub fn senders() {
    // Promtool is a package of its own there; the tests of the API ask by it.
    for package in ["prometheus", "promtool", "prometheus-blackbox-exporter"] {
        match find(package) {
            Ok(found) => eprintln!("== {package} {} is there for the tests", found.version),
            Err(error) => eprintln!("== {error:#}"),
        }
    }
    match mysql() {
        Ok(()) => eprintln!("== {MYSQL} is there for the tests"),
        Err(error) => eprintln!("{MYSQL} of {NEWEST} cannot be fetched ({error:#}); its test is skipped"),
    }
}

/// Unpacks MySQL, whose own way to sign in MariaDB does not have, with all libraries that it needs: it runs by its own
/// loader, whatever this machine has.
fn mysql() -> Result<()> {
    let folder = crate::root().join("target/peers");
    let there = folder.join(MYSQL);
    if there.join("ready").exists() {
        return Ok(());
    }
    let apt = Apt::of(NEWEST, &folder)?;
    let kinds = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let without = kinds.map(|kind| format!("--no-{kind}"));
    let arguments: Vec<&str> =
        ["depends", "--recurse"].into_iter().chain(without.iter().map(String::as_str)).chain([MYSQL]).collect();
    let output = apt.command("apt-cache").args(arguments).output()?;
    let packages = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_needed = |line: &&str| {
        line.starts_with(|c: char| c.is_ascii_lowercase()) && !NEEDLESS.iter().any(|needless| line.contains(needless))
    };
    let packages: Vec<&str> = packages.lines().filter(is_needed).collect();
    apt.run(&[&["download"][..], packages.as_slice()].concat())?;
    for entry in std::fs::read_dir(apt.debs())?.filter_map(Result::ok) {
        if !Command::new("dpkg").arg("-x").arg(entry.path()).arg(&there).status()?.success() {
            bail!("{} cannot be unpacked", entry.path().display());
        }
    }
    std::fs::write(there.join("ready"), "")?;
    Ok(())
}

/// Of a version of Debian's what it packages.
fn upstream(version: &str) -> String {
    version.split(['+', '-', '~']).next().unwrap_or("").to_owned()
}

/// A binary of the caller's choice, with the version it gives itself.
pub fn of(path: PathBuf) -> Result<Binary> {
    let output = Command::new(&path).arg("--version").output().with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().last().unwrap_or_default().to_owned();
    Ok(Binary { path, version })
}

/// Downloads and unpacks one package.
fn fetch(package: &str, folder: &Path) -> Result<()> {
    let apt = Apt::of(SUITE, folder)?;
    apt.run(&["download", package])?;
    let (_, file) = deb(package, folder)?;
    let status = Command::new("dpkg").arg("-x").arg(file).arg(folder.join(package)).status()?;
    if !status.success() {
        bail!("the package cannot be unpacked");
    }
    Ok(())
}

/// A suite of Debian with lists of its own: the system's sources and packages stay as they are.
struct Apt(PathBuf);

impl Apt {
    fn of(suite: &str, folder: &Path) -> Result<Apt> {
        let apt = Apt(folder.join(if suite == SUITE { "apt".to_owned() } else { format!("apt-{suite}") }));
        for sub in ["lists/partial", "cache/archives/partial", "debs"] {
            std::fs::create_dir_all(apt.0.join(sub))?;
        }
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        std::fs::write(
            apt.0.join("sources.list"),
            format!("deb [signed-by={keys}] http://deb.debian.org/debian {suite} main\n"),
        )?;
        if std::fs::read_dir(apt.0.join("lists"))?.count() <= 1 {
            apt.run(&["update"])?;
        }
        Ok(apt)
    }

    /// Where packages are downloaded to.
    fn debs(&self) -> PathBuf {
        self.0.join("debs")
    }

    fn command(&self, program: &str) -> Command {
        let set = |name: &str, value: &str| format!("{name}={}", self.0.join(value).display());
        let mut command = Command::new(program);
        command
            .args(["-q", "-o", &set("Dir::Etc::sourcelist", "sources.list"), "-o", "Dir::Etc::sourceparts=-"])
            .args(["-o", &set("Dir::State::lists", "lists"), "-o", &set("Dir::Cache", "cache")])
            .args(["-o", "APT::Sandbox::User=", "-o", "Acquire::http::Timeout=20"])
            .current_dir(self.debs());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let status = self.command("apt-get").args(arguments).stdout(Stdio::null()).status()?;
        if !status.success() {
            bail!("apt-get {} failed", arguments.join(" "));
        }
        Ok(())
    }
}

/// The version and the file of a package that was downloaded.
fn deb(package: &str, folder: &Path) -> Result<(String, PathBuf)> {
    for entry in std::fs::read_dir(folder.join("apt/debs"))?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix(package).and_then(|rest| rest.strip_prefix('_')) {
            return Ok((rest.split('_').next().unwrap_or("").to_owned(), entry.path()));
        }
    }
    bail!("{package} was not downloaded")
}
