//! The process itself: signals, its supervisor, its name for the world.

use std::time::Duration;

use crate::Disk;

/// Why the process was asked to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, or SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Signals as they come.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on these signals are ours.
    pub fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// The environment variables: the process's own, or those of a simulated one.
#[derive(Clone)]
pub enum Environment {
    /// The process's own.
    Os,
    /// Made up.
    Sim(std::sync::Arc<std::collections::BTreeMap<String, String>>),
}

impl Environment {
    /// A variable's value, if it is set and is text.
    pub fn get(&self, name: &str) -> Option<String> {
        match self {
            Environment::Os => std::env::var(name).ok(),
            Environment::Sim(variables) => variables.get(name).cloned(),
        }
    }
}

/// This machine's name.
pub fn hostname(disk: &Disk) -> String {
    let name = disk.read(std::path::Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The folder this process works in.
pub fn folder() -> String {
    std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default()
}

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Tells systemd how the service is doing (`sd_notify`): `READY=1`, `STOPPING=1`, `WATCHDOG=1`. Does nothing elsewhere.
pub fn notify_systemd(state: &str) {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Ok(socket) = std::os::unix::net::UnixDatagram::unbound()
    {
        let path = std::path::PathBuf::from(path);
        let sent = match path.to_string_lossy().strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
                    .and_then(|address| socket.send_to_addr(state.as_bytes(), &address))
            }
            None => socket.send_to(state.as_bytes(), &path),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "systemd cannot be told");
        }
    }
}

/// How often systemd wants to hear `WATCHDOG=1`: half of `WatchdogSec`, if the unit sets one.
pub fn watchdog_interval() -> Option<Duration> {
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(micros / 2))
}

/// Runs a command without a shell and gives its standard output; bounded in time and size.
pub async fn output(argv: &[String], limit: Duration) -> Result<Vec<u8>, String> {
    let argv = argv.to_vec();
    crate::thread::blocking(move || {
        let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
        let mut pipe = child.stdout.take().expect("it is piped");
        let reader = crate::thread::spawn("command-output", move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(&mut pipe, 64 << 10), &mut bytes).map(|_| bytes)
        })
        .map_err(|error| error.to_string())?;
        let step = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        let status = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if waited >= limit => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("`{program}` did not end within {} s", limit.as_secs()));
                }
                None => {
                    #[expect(clippy::disallowed_methods, reason = "a blocking thread of our own waits for a child")]
                    std::thread::sleep(step);
                    waited += step;
                }
            }
        };
        let bytes = reader.join().map_err(|_| "its output cannot be read")?.map_err(|error| error.to_string())?;
        if status.success() { Ok(bytes) } else { Err(format!("`{program}` ended with {status}")) }
    })
    .await
}
