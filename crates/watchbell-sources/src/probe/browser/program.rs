//! The browser itself: where it is, how it is started, and how many of them run at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchbell_model::{Path as At, Problems};
use watchbell_runtime::Runtime;
use watchbell_runtime::process::{self, Talker};

/// Names under which the browser is looked for.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The most browsers at a time that may be asked for.
const AT_ONCE_MAX: usize = 32;
/// What is seen of a page, in pixels.
const WINDOW: &str = "1280,720";
/// What a browser does of its own accord, to none of which anybody asked it.
const SILENT: [&str; 21] = [
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--mute-audio",
    "--hide-scrollbars",
    "--password-store=basic",
    "--gaia-url=http://127.0.0.1:9",
    "--apps-gallery-update-url=http://127.0.0.1:9",
    "--component-updater=url-source=http://127.0.0.1:9",
    "--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication,\
     CertificateTransparencyComponentUpdater,NetworkTimeServiceQuerying,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    // Neither is there where it runs, as a rule.
    "--disable-gpu",
    "--disable-dev-shm-usage",
];

/// The browser of monitors with `browser`: the machine's Chromium or Chrome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrowsersConfig {
    /// The program. By default the first of `chromium`, `chromium-browser`, `google-chrome` and `google-chrome-stable`
    /// that is in `PATH`.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// How many browsers run at a time; other monitors wait in line, which is no part of a probe's time. Each takes a few
    /// hundred MB of memory.
    #[serde(default = "BrowsersConfig::default_at_once")]
    pub at_once: usize,
    /// Whether pages are kept in the browser's sandbox. By default they are, unless watchbell runs as root, whom the
    /// browser gives none.
    #[serde(default)]
    pub sandbox: Option<bool>,
}

impl Default for BrowsersConfig {
    fn default() -> BrowsersConfig {
        BrowsersConfig { program: None, at_once: BrowsersConfig::default_at_once(), sandbox: None }
    }
}

impl BrowsersConfig {
    fn default_at_once() -> usize {
        1
    }

    /// Finds every problem that the types cannot tell.
    pub fn check(&self, path: &At, problems: &mut Problems) {
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            problems
                .error(&path.field("at_once"), format!("{} browsers cannot run at a time", self.at_once))
                .hint(format!("from 1 to {AT_ONCE_MAX}; the default is {}", BrowsersConfig::default_at_once()));
        }
    }

    /// Where the program is. The error says where it was looked for.
    pub fn find(&self, runtime: &Runtime) -> Result<PathBuf, String> {
        let is_there = |path: &Path| runtime.disk.exists(path) && !runtime.disk.is_dir(path);
        let folders = runtime.environment.get("PATH").unwrap_or_default();
        let in_path =
            |name: &Path| folders.split(':').map(|folder| Path::new(folder).join(name)).find(|it| is_there(it));
        match &self.program {
            Some(program) if program.components().count() > 1 => is_there(program)
                .then(|| program.clone())
                .ok_or_else(|| format!("there is no browser at {}", program.display())),
            Some(name) => in_path(name).ok_or_else(|| format!("there is no `{}` in PATH", name.display())),
            None => NAMES.iter().find_map(|name| in_path(Path::new(name))).ok_or_else(|| {
                format!("there is no browser on this machine: none of `{}` is in PATH", NAMES.join("`, `"))
            }),
        }
    }

    /// How it is started with a profile of its own and `proxy` as its only way out.
    pub(super) fn talker(&self, runtime: &Runtime, proxy: std::net::SocketAddr) -> Result<Talker, String> {
        let base = runtime.environment.get("TMPDIR").filter(|folder| !folder.is_empty());
        // Short, since the browser puts a socket into it, whose path may have no more than 107 bytes.
        let name = format!("watchbell-browser-{:08x}", runtime.rng.below(1 << 32));
        let folder = Path::new(base.as_deref().unwrap_or("/tmp")).join(name);
        let here = folder.display().to_string();
        let mut arguments: Vec<String> = SILENT.iter().map(|it| (*it).to_owned()).collect();
        arguments.extend([
            "--headless".to_owned(),
            "--remote-debugging-pipe".into(),
            format!("--user-data-dir={here}/profile"),
            format!("--window-size={WINDOW}"),
            format!("--proxy-server=socks5://{proxy}"),
            // This host is reached through the proxy too, and nothing past it: no names, no QUIC, no WebRTC.
            "--proxy-bypass-list=<-loopback>".into(),
            format!("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {}", proxy.ip()),
            "--disable-quic".into(),
            "--force-webrtc-ip-handling-policy=disable_non_proxied_udp".into(),
        ]);
        if !self.sandbox.unwrap_or_else(|| !process::is_root()) {
            arguments.push("--no-sandbox".into());
        }
        arguments.push("about:blank".into());
        // Whatever it writes down goes with the folder.
        let variables = ["TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name.to_owned(), here.clone()));
        Ok(Talker { program: self.find(runtime)?, arguments, variables: variables.to_vec(), folder })
    }
}

/// The browsers of all monitors.
pub(crate) struct Browsers {
    config: BrowsersConfig,
    line: Arc<Semaphore>,
}

impl Default for Browsers {
    fn default() -> Browsers {
        Browsers::new(BrowsersConfig::default())
    }
}

impl Browsers {
    fn new(config: BrowsersConfig) -> Browsers {
        Browsers { line: Arc::new(Semaphore::new(config.at_once.max(1))), config }
    }

    /// As the configuration says from now on. Those who wait in line go on waiting there.
    pub(crate) fn set(&mut self, config: BrowsersConfig) {
        if config.at_once == self.config.at_once {
            self.config = config;
        } else {
            *self = Browsers::new(config);
        }
    }

    /// A place in the line, and how to start the browser once it is one's turn.
    pub(crate) fn line(&self) -> (BrowsersConfig, Arc<Semaphore>) {
        (self.config.clone(), Arc::clone(&self.line))
    }
}

/// One's turn; the next one's begins when it is dropped.
pub(super) async fn turn(line: Arc<Semaphore>) -> OwnedSemaphorePermit {
    line.acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::sim;

    use super::*;

    #[test]
    fn the_browser_is_found_in_path_or_where_the_configuration_says() {
        let found = sim::run(1, |mut world| async move {
            world.environment.insert("PATH".into(), "/bin:/usr/bin".into());
            world.disk.put(Path::new("/usr/bin/google-chrome"), b"");
            world.disk.put(Path::new("/opt/chrome/chrome"), b"");
            let runtime = world.runtime();
            let find = |program: Option<&str>| {
                let config = BrowsersConfig { program: program.map(PathBuf::from), ..BrowsersConfig::default() };
                config.find(&runtime).map_or_else(|words| words, |path| path.display().to_string())
            };
            let mut found =
                [None, Some("google-chrome"), Some("/opt/chrome/chrome"), Some("/opt/chrome"), Some("edge")]
                    .map(find)
                    .to_vec();
            world.environment.insert("PATH".into(), "/bin".into());
            found.push(BrowsersConfig::default().find(&world.runtime()).unwrap_err());
            found.join("\n")
        });
        expect_test::expect![[r#"
            /usr/bin/google-chrome
            /usr/bin/google-chrome
            /opt/chrome/chrome
            there is no browser at /opt/chrome
            there is no `edge` in PATH
            there is no browser on this machine: none of `chromium`, `chromium-browser`, `google-chrome`, `google-chrome-stable` is in PATH"#]]
        .assert_eq(&found);
    }

    #[test]
    fn it_is_started_with_one_way_out_and_without_a_sandbox_only_where_there_is_none() {
        sim::run(1, |mut world| async move {
            world.environment.insert("PATH".into(), "/bin".into());
            world.disk.put(Path::new("/bin/chromium"), b"");
            let runtime = world.runtime();
            let start = |sandbox| {
                let config = BrowsersConfig { sandbox, ..BrowsersConfig::default() };
                config.talker(&runtime, "127.0.0.1:1080".parse().unwrap()).unwrap()
            };
            let (one, two) = (start(Some(true)), start(Some(false)));
            assert_ne!(one.folder, two.folder);
            assert!(one.arguments.contains(&"--proxy-server=socks5://127.0.0.1:1080".to_owned()));
            assert!(one.arguments.contains(&"--proxy-bypass-list=<-loopback>".to_owned()));
            let free = "--no-sandbox".to_owned();
            assert_eq!((one.arguments.contains(&free), two.arguments.contains(&free)), (false, true));
            assert_eq!(start(None).arguments.contains(&free), process::is_root());
        });
    }
}
