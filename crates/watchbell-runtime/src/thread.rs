//! Threads with names, for work that blocks.

/// Starts a thread. Its owner keeps the handle and joins it when it stops.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Runs blocking work on tokio's pool and waits for it without holding up the runtime.
pub async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down and takes this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Does two things at once, on two cores, and waits for both.
pub fn both<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        match first.join() {
            Ok(first) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs long work that may wait on a thread of its own, which gets what others leave of the processor.
pub async fn background<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    let work = move || {
        // Linux counts this for the thread alone; where it is refused the work merely is not as humble.
        let _ = rustix::process::setpriority_process(None, LEAST_PRIORITY);
        let _ = done.send(run());
    };
    let thread = spawn(name, work);
    match (result.await, thread) {
        (Ok(result), _) => result,
        (Err(_), Ok(thread)) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the result is sent unless the work panics"),
        },
        (Err(_), Err(error)) => panic!("no thread can be made: {error}"),
    }
}

/// The nice value of a thread that gives way to all others.
const LEAST_PRIORITY: i32 = 19;

/// Waits for futures from code that cannot: made where the runtime is, used anywhere.
#[derive(Clone, Debug)]
pub struct Waiter(tokio::runtime::Handle);

impl Waiter {
    /// Of the runtime that this is called in.
    ///
    /// # Panics
    /// Outside of one.
    pub fn here() -> Waiter {
        Waiter(tokio::runtime::Handle::current())
    }

    /// Runs a future to its end and blocks this thread meanwhile; other tasks of the runtime go on.
    ///
    /// # Panics
    /// On the only thread of a runtime, as in a simulated world: nobody would be left to run what is waited for.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::task::block_in_place(|| self.0.block_on(future))
        } else {
            self.0.block_on(future)
        }
    }
}
