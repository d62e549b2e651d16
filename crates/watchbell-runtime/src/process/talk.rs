//! Programs that are spoken to while they run.
//!
//! Always: when whoever speaks to it lets go of it, the program is killed with all that it has started, and its folder is
//! removed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::unix::pipe;

use super::{Processes, cannot_start, wait};
use crate::net::Stream;

/// Hands on to the program, as its files 3 and 4, what would be its standard input and output. It is a shell that does
/// so, since other ways between `fork` and `exec` are unsafe code.
const HAND_ON: &str = "exec 3<&0 4>&1 0</dev/null 1>&2; exec \"$0\" \"$@\"";
/// How much is kept of what a program says besides.
const SAID_BYTES_MAX: usize = 16 << 10;
/// How long is tried to remove the folder: what was killed may take a moment to let go of it.
const REMOVE_MAX: Duration = Duration::from_secs(2);

/// A program that reads from its file 3 and writes to its file 4, as browsers do with `--remote-debugging-pipe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talker {
    /// Its file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables besides those of this process.
    pub variables: Vec<(String, String)>,
    /// A folder of its own that does not exist yet: it is made, the program works in it, and it is removed in the end.
    pub folder: PathBuf,
}

/// A program that is spoken to.
pub struct Talking {
    /// What it writes, and what it reads.
    pub stream: Stream,
    running: Option<Running>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// What is to be cleared away.
struct Running {
    child: Child,
    folder: PathBuf,
    reader: Option<JoinHandle<()>>,
}

impl Processes {
    /// Starts a program to speak to. The error says why it could not be started.
    pub fn talk(&self, talker: &Talker) -> Result<Talking, String> {
        match self {
            Processes::Os => start(talker).map_err(|error| cannot_start(&talker.program, &error.to_string())),
            Processes::Sim(programs) => {
                let run = programs.1.lock().expect("no panic while held").get(&talker.program).cloned();
                let run = run.ok_or_else(|| cannot_start(&talker.program, "no such file or directory"))?;
                Ok(Talking { stream: run(talker), running: None, said: Arc::default() })
            }
        }
    }
}

impl Talking {
    /// What the program said besides, on standard output and standard error; of a long text the beginning.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic while held")).into_owned()
    }

    /// Kills the program with all that it has started, and waits until it and its folder are gone.
    pub async fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
            crate::thread::blocking(move || running.clear_away()).await;
        }
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
            // Nobody waits for it, and waiting here would hold up others.
            let _ = crate::thread::spawn("program-end", move || running.clear_away());
        }
    }
}

impl Running {
    fn kill(&self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }

    fn clear_away(mut self) {
        let _ = self.child.wait();
        let removed = wait(REMOVE_MAX, || match crate::Disk::Os.remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(None),
            _ => Ok(Some(())),
        });
        if !matches!(removed, Ok(Some(()))) {
            tracing::warn!(folder = %self.folder.display(), "the folder of a program cannot be removed");
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            let _ = self.reader.take().map(JoinHandle::join);
        }
    }
}

fn start(talker: &Talker) -> io::Result<Talking> {
    crate::Disk::Os.create_private_dir_all(&talker.folder)?;
    let spawned = std::process::Command::new("/bin/sh")
        .args(["-c", HAND_ON])
        .arg(&talker.program)
        .args(&talker.arguments)
        .envs(talker.variables.iter().map(|(name, value)| (name, value)))
        .current_dir(&talker.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it has started can be ended with it.
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = crate::Disk::Os.remove_dir_all(&talker.folder);
            return Err(error);
        }
    };
    let (stdin, stdout) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
    let mut stderr = child.stderr.take().expect("it is piped");
    // From here on it is killed in any case.
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let running = Running { child, folder: talker.folder.clone(), reader: None };
    let mut talking = Talking { stream: Box::new(tokio::io::empty()), running: Some(running), said: Arc::clone(&said) };
    let reader = crate::thread::spawn("program-output", move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = io::Read::read(&mut stderr, &mut buffer) {
            let mut said = said.lock().expect("no panic while held");
            let room = SAID_BYTES_MAX.saturating_sub(said.len()).min(count);
            said.extend_from_slice(&buffer[..room]);
        }
    })?;
    if let Some(running) = &mut talking.running {
        running.reader = Some(reader);
    }
    let to = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
    let from = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?;
    talking.stream = Box::new(tokio::io::join(from, to));
    Ok(talking)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn talker(name: &str, script: &str) -> Talker {
        Talker {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            variables: vec![("WORD".into(), "ho".into())],
            folder: std::env::temp_dir().join(format!("watchbell-talk-{name}-{}", std::process::id())),
        }
    }

    fn run<F: Future>(talk: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(talk)
    }

    fn lives(pid: &str) -> bool {
        let path = format!("/proc/{}/stat", pid.trim());
        crate::Disk::Os.read_text(path.as_ref()).is_ok_and(|stat| !stat.contains(" Z"))
    }

    #[test]
    fn a_program_is_spoken_to_and_ends_with_all_it_has_started() {
        run(async {
            let talker = talker("end", "echo aside; sleep 60 & echo $! $WORD >&4; pwd >&4; cat <&3 >&4");
            let mut talking = Processes::Os.talk(&talker).unwrap();
            talking.stream.write_all(b"oh\n").await.unwrap();
            let mut heard = String::new();
            while heard.matches('\n').count() < 3 {
                let mut bytes = [0; 100];
                let count = talking.stream.read(&mut bytes).await.unwrap();
                heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
            let lines: Vec<&str> = heard.lines().collect();
            let (pid, word) = lines[0].split_once(' ').unwrap();
            assert_eq!((word, lines[1], lines[2]), ("ho", talker.folder.to_str().unwrap(), "oh"));
            assert_eq!(talking.said(), "aside\n");
            assert!(lives(pid) && talker.folder.exists());
            talking.end().await;
            assert!(!talker.folder.exists());
            assert_eq!(wait(Duration::from_secs(10), || Ok((!lives(pid)).then_some(()))), Ok(Some(())));
        });
    }

    #[test]
    fn a_program_that_nobody_speaks_to_any_more_ends() {
        run(async {
            let talker = talker("drop", "echo $$ >&4; sleep 60");
            let mut talking = Processes::Os.talk(&talker).unwrap();
            let mut bytes = [0; 100];
            let count = talking.stream.read(&mut bytes).await.unwrap();
            let pid = std::str::from_utf8(&bytes[..count]).unwrap();
            assert!(lives(pid));
            drop(talking);
            let gone = || Ok((!lives(pid) && !talker.folder.exists()).then_some(()));
            assert_eq!(wait(Duration::from_secs(10), gone), Ok(Some(())));
        });
    }
}
