//! Asking the machine's name servers for records, as `/etc/resolv.conf` says, in the way Prometheus does.
//!
//! Each name is tried with the search list; each server is asked over UDP, and over TCP where the answer does not fit. An
//! answer counts if it names records, or says that there are none, or that there is no such name. A name is gone only if
//! every spelling of it is known not to exist: where servers fail, nothing is known.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::Runtime;
use watchbell_wire::dns::{self, Answer, RecordData, RecordType};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Codes of answers: it is so, and there is no such name.
const SUCCESS: u8 = 0;
const NO_SUCH_NAME: u8 = 3;
/// How many servers and suffixes are read.
const SERVERS_MAX: usize = 8;
const SEARCH_MAX: usize = 32;

/// What the machine's configuration says.
struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// The records of a name; none if it does not exist. The error says which servers failed.
pub async fn lookup(runtime: &Runtime, name: &str, kind: RecordType) -> Result<Vec<RecordData>, String> {
    let file = runtime.disk.read_text(Path::new(RESOLV_CONF));
    let resolver = Resolver::read(&file.map_err(|error| format!("{RESOLV_CONF} cannot be read: {error}"))?);
    let mut failed = Vec::new();
    for spelling in resolver.spellings(name) {
        match ask_any(runtime, &resolver, &spelling, kind).await {
            Ok(answer) if answer.code == SUCCESS => return Ok(answer.records),
            Ok(_) => {}
            Err(error) => failed.push(error),
        }
    }
    match failed.is_empty() {
        true => Ok(Vec::new()),
        false => Err(format!("the name `{name}` cannot be resolved: {}", failed.join("; "))),
    }
}

/// The machine's first name server.
pub(crate) fn first_server(runtime: &Runtime) -> Result<IpAddr, String> {
    let file = runtime.disk.read_text(Path::new(RESOLV_CONF));
    let resolver = Resolver::read(&file.map_err(|error| format!("{RESOLV_CONF} cannot be read: {error}"))?);
    Ok(resolver.servers[0])
}

impl Resolver {
    fn read(text: &str) -> Resolver {
        let mut resolver = Resolver { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone, as in `fe80::1%eth0`, is left out.
                    let address: Option<IpAddr> = words.next().and_then(|it| it.split('%').next()?.parse().ok());
                    resolver.servers.extend(address.filter(|_| resolver.servers.len() < SERVERS_MAX));
                }
                Some("search" | "domain") => resolver.search = words.take(SEARCH_MAX).map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    resolver.ndots = ndots.unwrap_or(resolver.ndots);
                }
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver.servers.push(IpAddr::from([127, 0, 0, 1]));
        }
        resolver
    }

    /// The full names that a name may mean, the likeliest first.
    fn spellings(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let own = format!("{name}.");
        let mut spellings: Vec<String> =
            self.search.iter().map(|suffix| format!("{name}.{}.", suffix.trim_matches('.'))).collect();
        match name.matches('.').count() >= self.ndots {
            true => spellings.insert(0, own),
            false => spellings.push(own),
        }
        spellings
    }
}

async fn ask_any(runtime: &Runtime, resolver: &Resolver, name: &str, kind: RecordType) -> Result<Answer, String> {
    let mut failed = Vec::new();
    for server in &resolver.servers {
        let server = SocketAddr::new(*server, PORT);
        let asked = runtime.clock.timeout(PATIENCE, ask(runtime, server, name, kind)).await;
        match asked.unwrap_or_else(|_| Err("no answer".into())) {
            Ok(answer) if matches!(answer.code, SUCCESS | NO_SUCH_NAME) => return Ok(answer),
            Ok(answer) => failed.push(format!("{} answers with code {}", server.ip(), answer.code)),
            Err(error) => failed.push(format!("{}: {error}", server.ip())),
        }
    }
    Err(failed.join(", "))
}

async fn ask(runtime: &Runtime, server: SocketAddr, name: &str, kind: RecordType) -> Result<Answer, String> {
    let id = runtime.rng.next_u64() as u16;
    let socket = runtime.net.datagrams(server).await.map_err(|error| error.to_string())?;
    socket.send(&dns::question(id, name, kind, true)?).await.map_err(|error| error.to_string())?;
    loop {
        let bytes = socket.receive().await.map_err(|error| error.to_string())?;
        // What answers another question is not for us.
        let Ok(answer) = dns::answer(&bytes) else { continue };
        if answer.id == id {
            if !answer.truncated {
                return Ok(answer);
            }
            break;
        }
    }
    let mut stream =
        runtime.net.connect(&server.ip().to_string(), PORT).await.map_err(|error| error.to_string())?.stream;
    let question = dns::question(id, name, kind, false)?;
    let length = u16::try_from(question.len()).map_err(|error| error.to_string())?.to_be_bytes();
    let exchange = async {
        stream.write_all(&[&length[..], &question].concat()).await?;
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.map(|_| bytes)
    };
    let bytes: Vec<u8> = exchange.await.map_err(|error: std::io::Error| error.to_string())?;
    let answer = dns::answer(&bytes)?;
    match answer {
        answer if answer.id != id => Err("it answers another question".into()),
        answer if answer.truncated => Err("the answer does not fit".into()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_the_machine_says() {
        let resolver = Resolver::read(
            "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.org b.org.\noptions timeout:1 ndots:2\n",
        );
        assert_eq!(resolver.servers, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(resolver.spellings("x"), ["x.a.org.", "x.b.org.", "x."]);
        assert_eq!(resolver.spellings("x.y.z"), ["x.y.z.", "x.y.z.a.org.", "x.y.z.b.org."]);
        assert_eq!(resolver.spellings("x."), ["x."]);
        assert_eq!(Resolver::read("").servers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
