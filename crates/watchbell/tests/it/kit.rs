//! The binary as a process of its own, in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A folder that goes away with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty one.
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watchbell-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder takes a folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        std::fs::write(&path, content).expect("the folder takes a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A running watchbell. It is ended, by its process id, when its owner goes.
pub struct Process {
    child: Child,
    /// What it printed until it was ready.
    pub banner: Vec<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How long anything in these tests may take before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Process {
    /// Starts the binary in a folder; waits until it says where it listens.
    pub fn start(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        Process::start_binary(Path::new(env!("CARGO_BIN_EXE_watchbell")), folder, arguments, environment)
            .unwrap_or_else(|output| panic!("watchbell ended before it was ready:\n{output}"))
    }

    /// The same with another binary; what it printed if it ended before it was ready.
    pub fn start_binary(
        binary: &Path,
        folder: &Folder,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Process, String> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).expect("a log");
        let mut child = Command::new(binary)
            .args(arguments)
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut banner = Vec::new();
        let mut address = None;
        while let Some(Ok(line)) = lines.next() {
            let found = line.split("http://").nth(1).and_then(|rest| rest.split(['/', ' ']).next()?.parse().ok());
            address = address.or(found);
            let last = line.trim_start().starts_with("next");
            banner.push(line);
            if last {
                break;
            }
        }
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        match address {
            Some(address) => Ok(Process { child, banner, address }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                Err(format!("{}\n{log}", banner.join("\n")))
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As Ctrl-C or `systemctl stop`; gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        wait_until("it ends", || self.child.try_wait().ok().flatten().is_some());
        self.child.wait().expect("it was waited for").code()
    }

    /// Whether it has ended, and with what.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().ok().flatten().is_some()
    }

    /// A `GET`; status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, &[], "")
    }

    /// Any request, on a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        request(self.address, method, path, headers, body).unwrap_or((0, String::new()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// Asks again and again until it is so; fails after [`PATIENCE`].
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "still not so after {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A request over plain HTTP/1.1.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// A loopback address that nobody else has, so that every port on it is free and stays free: ports of 127.0.0.1 are
/// taken by the connections of all the tests that run beside this one.
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Ipv4Addr::new(127, 1 + (process % 250) as u8, 1 + (number / 250) as u8, 1 + (number % 250) as u8)
}

/// A server of the test kit on a real port of this machine, on a thread of its own.
pub struct Served {
    pub address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The port is free again afterwards.
impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves each connection to an address with `handler` until it is dropped; port 0 takes any.
pub fn serve<F: Future<Output = ()> + Send + 'static>(
    at: SocketAddr,
    handler: impl Fn(watchbell_runtime::Stream) -> F + Send + 'static,
) -> Served {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, address) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = watchbell_runtime::Runtime::os();
            // A process that another test is just starting holds a copy of every socket until it is the other program.
            let begun = Instant::now();
            let listener = loop {
                match world.net.listen(at).await {
                    Ok(listener) => break listener,
                    Err(error) => assert!(begun.elapsed() < PATIENCE, "{at}: {error}"),
                }
                world.clock.sleep(Duration::from_millis(20)).await;
            };
            ready.send(listener.local_addr()).expect("the test waits");
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    world.supervisor.detached(handler(stream));
                }
            };
            tokio::select! { biased; _ = stopped => {}, () = accept => {} }
        });
    });
    Served { address: address.recv().expect("it listens"), stop: Some(stop), thread: Some(thread) }
}

/// A proxy that opens tunnels to whoever shows `authorization`; it finds every host at `to`, and keeps what it was asked.
pub fn connect_proxy(at: SocketAddr, authorization: &'static str, to: SocketAddr) -> (Served, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let asks = Arc::clone(&asked);
    let served = serve(at, move |mut stream| {
        let asked = Arc::clone(&asks);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let shown = head.lines().any(|line| line == format!("Proxy-Authorization: {authorization}"));
            let first = head.lines().next().unwrap_or_default();
            let answer = match (shown, first.starts_with("CONNECT ")) {
                (false, _) => "407 Proxy Authentication Required",
                (true, false) => "405 Method Not Allowed",
                (true, true) => "200 Connection established",
            };
            asked.lock().expect("no panic while held").push(format!("{first}: {answer}"));
            if stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.is_err()
                || !answer.starts_with("200")
            {
                return;
            }
            relay(stream, to).await;
        }
    });
    (served, asked)
}

/// Hands on what comes on either side until one ends.
pub async fn relay(mut stream: watchbell_runtime::Stream, to: SocketAddr) {
    let net = watchbell_runtime::Runtime::os().net;
    if let Ok(mut other) = net.connect(&to.ip().to_string(), to.port()).await {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut other.stream).await;
    }
}
