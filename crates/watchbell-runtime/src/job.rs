//! A program that runs in our place: it reads our standard input, what it says goes on to our output and is remembered at
//! its end, and signals to us are passed on to it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal as ToSend, kill_process};

use crate::process::{Signal, Signals};
use crate::thread;

/// How long the last words of a job are waited for once it has ended: so often so long.
const LEFT_BEHIND_WAITS: u32 = 200;
const LEFT_BEHIND_WAIT: Duration = Duration::from_millis(5);

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its file, or a name to be looked for in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables besides those of this process.
    pub variables: Vec<(String, String)>,
    /// How much of the end of what it says is remembered, in bytes.
    pub tail_max: usize,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnded {
    /// The exit code as a shell says it: 128 and the number of the signal that ended it, 127 if there is no such program,
    /// 126 if it cannot be run.
    pub code: u8,
    /// The end of what it said on standard output and standard error, as it came; or why it was not run.
    pub tail: Vec<u8>,
}

/// Runs a job to its end, however long that takes.
///
/// # Errors
/// If signals or output cannot be handled; the job was not run then, or is ended.
pub async fn run(job: &Job) -> std::io::Result<JobEnded> {
    let mut signals = Signals::listen()?;
    let spawned = Command::new(&job.program)
        .args(&job.arguments)
        .envs(job.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            let words = format!("`{}` cannot be run: {error}", job.program.to_string_lossy());
            return Ok(JobEnded { code, tail: words.into_bytes() });
        }
    };
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let stdout = child.stdout.take().expect("it is piped");
    let stderr = child.stderr.take().expect("it is piped");
    let readers = [
        pass_on("job-output", stdout, std::io::stdout, Arc::clone(&tail), job.tail_max)?,
        pass_on("job-errors", stderr, std::io::stderr, Arc::clone(&tail), job.tail_max)?,
    ];
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = thread::blocking(move || {
        let status = child.wait();
        // Whoever was left behind by the job may hold its output open; what it says later is not the job's.
        let mut waits = LEFT_BEHIND_WAITS;
        while waits > 0 && readers.iter().any(|reader| !reader.is_finished()) {
            #[expect(clippy::disallowed_methods, reason = "a thread of its own waits for other threads")]
            std::thread::sleep(LEFT_BEHIND_WAIT);
            waits -= 1;
        }
        status
    });
    tokio::pin!(ended);
    let status = loop {
        let signal = tokio::select! {
            biased;
            status = &mut ended => break status?,
            signal = signals.next() => signal,
        };
        let to_send = match signal {
            Signal::Stop => ToSend::TERM,
            Signal::Reload => ToSend::HUP,
        };
        // It may have ended meanwhile.
        let _ = pid.map(|pid| kill_process(pid, to_send));
    };
    let code = match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => 128 + u8::try_from(signal.unwrap_or_default()).unwrap_or_default(),
    };
    let tail = tail.lock().expect("no panic while held").iter().copied().collect();
    Ok(JobEnded { code, tail })
}

/// Hands on what comes, and remembers the end of it.
fn pass_on<W: Write>(
    name: &str,
    mut from: impl Read + Send + 'static,
    to: impl Fn() -> W + Send + 'static,
    tail: Arc<Mutex<VecDeque<u8>>>,
    tail_max: usize,
) -> std::io::Result<JoinHandle<()>> {
    thread::spawn(name, move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // Nobody may be listening any more; the job goes on all the same.
            let mut to = to();
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
            let mut tail = tail.lock().expect("no panic while held");
            tail.extend(&buffer[..count]);
            let excess = tail.len().saturating_sub(tail_max);
            tail.drain(..excess);
        }
    })
}
