//! The process itself: signals, its supervisor, its name for the world; and other programs.

mod talk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::net::Stream;
use crate::{Clock, Disk};

pub use talk::{Talker, Talking};

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

/// Whether this process may do everything on this machine.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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

/// A program to be run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its file, or a name to be looked for in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables besides those of this process.
    pub variables: Vec<(String, String)>,
    /// What it reads from standard input.
    pub input: Vec<u8>,
    /// After which it is killed, with all that it has started.
    pub timeout: Duration,
    /// How much of what it says is kept, in bytes; the rest is read and dropped.
    pub output_max: usize,
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it said, on standard output first and on standard error then.
    pub output: Vec<u8>,
}

/// Starts programs: the machine's, or made-up ones.
#[derive(Clone)]
pub enum Processes {
    /// The machine's.
    Os,
    /// Made up.
    Sim(Arc<SimProcesses>),
}

type Program = Arc<dyn Fn(&Command) -> Option<Ended> + Send + Sync>;
type Spoken = Arc<dyn Fn(&Talker) -> Stream + Send + Sync>;

/// The programs of a simulated machine: those that run to their end, and those that are spoken to.
#[derive(Default)]
pub struct SimProcesses(Mutex<BTreeMap<PathBuf, Program>>, Mutex<BTreeMap<PathBuf, Spoken>>);

impl SimProcesses {
    /// From now on the program is there and does this; `None` is one that hangs.
    pub fn put(&self, program: &str, run: impl Fn(&Command) -> Option<Ended> + Send + Sync + 'static) {
        self.0.lock().expect("no panic while held").insert(program.into(), Arc::new(run));
    }

    /// From now on there is a program to speak to; `run` gives our end of the talk.
    pub fn put_talker(&self, program: &str, run: impl Fn(&Talker) -> Stream + Send + Sync + 'static) {
        self.1.lock().expect("no panic while held").insert(program.into(), Arc::new(run));
    }
}

impl Processes {
    /// Runs a program to its end. The error says why it could not be started, or that it did not end in time.
    pub async fn run(&self, clock: &Clock, command: Command) -> Result<Ended, String> {
        match self {
            Processes::Os => crate::thread::blocking(move || run_blocking(&command)).await,
            Processes::Sim(programs) => {
                let program = programs.0.lock().expect("no panic while held").get(&command.program).cloned();
                let program = program.ok_or_else(|| cannot_start(&command.program, "no such file or directory"))?;
                match program(&command) {
                    Some(ended) => Ok(ended),
                    None => {
                        clock.sleep(command.timeout).await;
                        Err(took_too_long(&command))
                    }
                }
            }
        }
    }
}

fn cannot_start(program: &std::path::Path, reason: &str) -> String {
    format!("`{}` cannot be started: {reason}", program.display())
}

fn took_too_long(command: &Command) -> String {
    format!("`{}` did not end within {} s", command.program.display(), command.timeout.as_secs_f64())
}

fn run_blocking(command: &Command) -> Result<Ended, String> {
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;
    let mut child = std::process::Command::new(&command.program)
        .args(&command.arguments)
        .envs(command.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it has started can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| cannot_start(&command.program, &error.to_string()))?;
    let words = |error: std::io::Error| error.to_string();
    let (mut stdin, input) = (child.stdin.take().expect("it is piped"), command.input.clone());
    // A program that reads nothing is not at fault; the pipe is closed at the end in any case.
    crate::thread::spawn("program-input", move || {
        let _ = std::io::Write::write_all(&mut stdin, &input);
    })
    .map_err(words)?;
    let kept: Vec<Arc<Mutex<Vec<u8>>>> = vec![Arc::default(), Arc::default()];
    let mut readers = Vec::new();
    let stdout: Box<dyn std::io::Read + Send> = Box::new(child.stdout.take().expect("it is piped"));
    let stderr: Box<dyn std::io::Read + Send> = Box::new(child.stderr.take().expect("it is piped"));
    for (mut pipe, kept) in [stdout, stderr].into_iter().zip(kept.iter().cloned()) {
        let max = command.output_max;
        let reader = crate::thread::spawn("program-output", move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut kept = kept.lock().expect("no panic while held");
                let room = max.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&buffer[..room]);
            }
        });
        readers.push(reader.map_err(words)?);
    }
    let waited = wait(command.timeout, || child.try_wait().map_err(words))?;
    let Some(status) = waited else {
        let group = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = child.wait();
        return Err(took_too_long(command));
    };
    // What it has started and left behind may hold the pipes open for ever.
    let _ = wait(OUTPUT_AFTER_END_MAX, || Ok(readers.iter().all(|it| it.is_finished()).then_some(())))?;
    let mut output: Vec<u8> = kept.iter().flat_map(|it| it.lock().expect("no panic while held").clone()).collect();
    output.truncate(command.output_max);
    Ok(Ended { code: status.code(), output })
}

/// How long output is read after a program has ended.
const OUTPUT_AFTER_END_MAX: Duration = Duration::from_millis(500);

/// Asks again and again until there is an answer, or for so long.
fn wait<T>(limit: Duration, mut ask: impl FnMut() -> Result<Option<T>, String>) -> Result<Option<T>, String> {
    let step = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(done) = ask()? {
            return Ok(Some(done));
        }
        if waited >= limit {
            return Ok(None);
        }
        #[expect(clippy::disallowed_methods, reason = "a blocking thread of our own waits for a child")]
        std::thread::sleep(step);
        waited += step;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            variables: vec![("WORD".into(), "ho".into())],
            input: b"in".repeat(100_000),
            timeout: Duration::from_millis(300),
            output_max: 100,
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real program writes a real file")]
    fn a_program_is_run_to_its_end() {
        let said =
            |script: &str| run_blocking(&shell(script)).map(|it| (it.code, String::from_utf8(it.output).unwrap()));
        assert_eq!(said("echo $WORD; echo oh >&2; exit 75"), Ok((Some(75), "ho\noh\n".into())));
        assert_eq!(said("wc -c"), Ok((Some(0), "200000\n".into())));
        assert_eq!(said("kill -9 $$"), Ok((None, String::new())));
        assert_eq!(said("head -c 1000000 /dev/zero").map(|it| it.1.len()), Ok(100));
        assert_eq!(said("exec sleep 10"), Err("`/bin/sh` did not end within 0.3 s".into()));
        // What it has started ends with it.
        let file = std::env::temp_dir().join(format!("watchbell-process-{}", std::process::id()));
        let script = format!("sleep 10 & echo $! > {}; wait", file.display());
        assert_eq!(said(&script), Err("`/bin/sh` did not end within 0.3 s".into()));
        let started = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
        let lives =
            || std::fs::read_to_string(format!("/proc/{}/stat", started.trim())).is_ok_and(|it| !it.contains(" Z"));
        assert_eq!(wait(Duration::from_secs(10), || Ok((!lives()).then_some(()))), Ok(Some(())));
        std::fs::remove_file(&file).unwrap();
        let nothing = Command { program: "/nowhere".into(), ..shell("") };
        assert!(run_blocking(&nothing).unwrap_err().starts_with("`/nowhere` cannot be started: No such file"));
    }
}
