//! What the kernel says by system calls and not by files: the room on file systems, the clock's discipline.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::disk::{Space, space};

/// How many file systems may hang at once; further ones are not asked until one of these answers.
pub const STUCK_MAX: usize = 32;
/// What is left for file systems behind one that hangs.
const ASK_MIN: Duration = Duration::from_millis(500);

/// The machine: ours, or a simulated one.
#[derive(Clone)]
pub enum Machine {
    /// The machine that the process runs on.
    Os,
    /// Made up.
    Sim(Arc<SimMachine>),
}

/// Answers of a simulated machine.
#[derive(Default)]
pub struct SimMachine(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    spaces: BTreeMap<PathBuf, Space>,
    hanging: BTreeSet<PathBuf>,
    clock: Option<ClockDiscipline>,
}

/// How the kernel keeps its clock, as adjtimex(2) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockDiscipline {
    /// What the call returned: 0 is well, 5 is out of step.
    pub state: i32,
    /// Bits of the status.
    pub status: i64,
    /// In microseconds, or nanoseconds by a bit of the status.
    pub offset: i64,
    /// In parts per million with 16 bits behind the point.
    pub frequency: i64,
    /// In microseconds.
    pub error_max: i64,
    /// In microseconds.
    pub error_estimated: i64,
    /// Time constant of the loop.
    pub constant: i64,
    /// In microseconds.
    pub tick: i64,
    /// As `frequency`.
    pub pps_frequency: i64,
    /// As `offset`.
    pub pps_jitter: i64,
    /// In seconds, as a power of two.
    pub pps_shift: i64,
    /// As `frequency`.
    pub pps_stability: i64,
    /// How often the jitter was too much.
    pub pps_jitter_count: i64,
    /// How often the pulse was measured.
    pub pps_calibration_count: i64,
    /// How often that went wrong.
    pub pps_error_count: i64,
    /// How often the pulse was not steady.
    pub pps_stability_count: i64,
    /// In seconds.
    pub tai: i64,
}

impl Machine {
    /// How the kernel keeps its clock. Where that is not allowed: [`io::ErrorKind::PermissionDenied`].
    pub fn clock_discipline(&self) -> io::Result<ClockDiscipline> {
        match self {
            Machine::Os => adjtimex(),
            Machine::Sim(machine) => machine.answers().clock.ok_or(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "a `c_long` has 32 bits on some machines")]
fn adjtimex() -> io::Result<ClockDiscipline> {
    #[expect(unsafe_code, reason = "plain numbers, for which zero is valid; with `modes` 0 the call only reads")]
    let (state, it) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex)
    };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockDiscipline {
        state,
        status: i64::from(it.status),
        offset: it.offset as i64,
        frequency: it.freq as i64,
        error_max: it.maxerror as i64,
        error_estimated: it.esterror as i64,
        constant: it.constant as i64,
        tick: it.tick as i64,
        pps_frequency: it.ppsfreq as i64,
        pps_jitter: it.jitter as i64,
        pps_shift: i64::from(it.shift),
        pps_stability: it.stabil as i64,
        pps_jitter_count: it.jitcnt as i64,
        pps_calibration_count: it.calcnt as i64,
        pps_error_count: it.errcnt as i64,
        pps_stability_count: it.stbcnt as i64,
        tai: i64::from(it.tai),
    })
}

/// Bytes of a page of memory.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

impl SimMachine {
    /// From now on the file system at a path has this room.
    pub fn put_space(&self, path: &Path, space: Space) {
        self.answers().spaces.insert(path.to_owned(), space);
    }

    /// From now on the file system at a path hangs, or answers again.
    pub fn set_hanging(&self, path: &Path, hangs: bool) {
        let mut answers = self.answers();
        if hangs {
            answers.hanging.insert(path.to_owned())
        } else {
            answers.hanging.remove(path)
        };
    }

    /// From now on the clock is kept like this.
    pub fn put_clock(&self, clock: ClockDiscipline) {
        self.answers().clock = Some(clock);
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.lock().expect("no panic while held")
    }
}

/// Asks file systems for their room, and is not held up for longer than it says by one whose server is gone: that one
/// is asked on a thread of its own, and not asked again until it has answered.
pub struct Rooms {
    machine: Machine,
    /// Those that hang, with what will tell that they answered.
    stuck: BTreeMap<PathBuf, Receiver<io::Result<Space>>>,
}

impl Rooms {
    /// Nothing hangs as yet.
    pub fn new(machine: Machine) -> Rooms {
        Rooms { machine, stuck: BTreeMap::new() }
    }

    /// The room at each path; [`io::ErrorKind::TimedOut`] for those that did not answer in time. Blocks.
    pub fn ask(&mut self, paths: &[PathBuf], limit: Duration) -> Vec<io::Result<Space>> {
        match &self.machine {
            Machine::Os => self.ask_os(paths, limit),
            Machine::Sim(machine) => {
                let answers = machine.answers();
                let answer = |path: &PathBuf| match answers.spaces.get(path) {
                    _ if answers.hanging.contains(path) => Err(io::ErrorKind::TimedOut.into()),
                    Some(space) => Ok(*space),
                    None => Err(io::ErrorKind::NotFound.into()),
                };
                paths.iter().map(answer).collect()
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "waiting for a system call is no simulated time")]
    fn ask_os(&mut self, paths: &[PathBuf], limit: Duration) -> Vec<io::Result<Space>> {
        self.stuck.retain(|_, answered| matches!(answered.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)));
        let deadline = Instant::now() + limit;
        let mut answers = Vec::with_capacity(paths.len());
        while answers.len() < paths.len() {
            let path = &paths[answers.len()];
            if self.stuck.contains_key(path) || self.stuck.len() >= STUCK_MAX {
                answers.push(Err(io::ErrorKind::TimedOut.into()));
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(ASK_MIN);
            // One thread asks all that are left, up to the next one that is known to hang.
            let rest = paths[answers.len()..].iter().take_while(|path| !self.stuck.contains_key(*path));
            let rest: Vec<PathBuf> = rest.cloned().collect();
            let (count, given_up) = (rest.len(), Arc::new(AtomicBool::new(false)));
            let (sender, receiver) = channel();
            let stop = Arc::clone(&given_up);
            let work = move || {
                for path in rest {
                    if sender.send(space(&path)).is_err() || stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            };
            if let Err(error) = crate::thread::spawn("room", work) {
                answers.extend((0..count).map(|_| Err(io::Error::new(error.kind(), error.to_string()))));
                continue;
            }
            let until = Instant::now() + left;
            for _ in 0..count {
                match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(answer) => answers.push(answer),
                    Err(_) => {
                        given_up.store(true, Ordering::Relaxed);
                        self.stuck.insert(paths[answers.len()].clone(), receiver);
                        answers.push(Err(io::ErrorKind::TimedOut.into()));
                        break;
                    }
                }
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_in_order() {
        let mut rooms = Rooms::new(Machine::Os);
        let paths = ["/", "/no/such/place", "/proc"].map(PathBuf::from);
        let answers = rooms.ask(&paths, Duration::from_secs(5));
        assert!(answers[0].as_ref().is_ok_and(|space| space.size > 0), "{answers:?}");
        assert_eq!(answers[1].as_ref().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(answers[2].as_ref().is_ok_and(|space| space.size == 0), "{answers:?}");
        assert!(rooms.ask(&[], Duration::ZERO).is_empty() && rooms.stuck.is_empty());
    }

    #[test]
    fn a_file_system_that_answered_late_is_asked_again() {
        let mut rooms = Rooms::new(Machine::Os);
        let (sender, receiver) = channel();
        rooms.stuck.insert("/".into(), receiver);
        let ask = |rooms: &mut Rooms| rooms.ask(&["/".into(), "/proc".into()], Duration::from_secs(5));
        let answers = ask(&mut rooms);
        assert_eq!(answers[0].as_ref().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(answers[1].is_ok(), "what is behind it is asked: {answers:?}");
        sender.send(Err(io::ErrorKind::HostUnreachable.into())).unwrap();
        assert!(ask(&mut rooms).iter().all(Result::is_ok));
    }

    #[test]
    fn the_clocks_discipline_is_read() {
        match Machine::Os.clock_discipline() {
            Ok(clock) => assert!(clock.tick > 0, "{clock:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(page_size().is_power_of_two());
    }
}
