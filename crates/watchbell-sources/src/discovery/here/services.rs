//! Services by their usual port, and how each is probed.

use std::net::IpAddr;

use watchbell_model::RunbookRef;

use crate::probe::{HttpConfig, ImapConfig, MailTls, MonitorConfig, SmtpConfig, TcpConfig, TlsConfig};

/// The run book of every monitor that was found and not configured.
pub(super) const RUNBOOK: &str = "service-down";

/// A service that is known by its port.
pub(super) struct Service {
    pub(super) port: u16,
    pub(super) name: &'static str,
    /// How to probe it, the best proof first. Taking connections at all always comes last.
    pub(super) ways: &'static [Way],
}

/// A way to probe.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Smtp(MailTls),
    Imap(MailTls),
    Http,
    Https,
    Tls,
}

const MAIL: &[Way] = &[Way::Smtp(MailTls::Starttls), Way::Smtp(MailTls::None)];
const MAILBOX: &[Way] = &[Way::Imap(MailTls::Starttls), Way::Imap(MailTls::None)];
const WEB: &[Way] = &[Way::Http];
const SECURE_WEB: &[Way] = &[Way::Https, Way::Tls];
const SECRET: &[Way] = &[Way::Tls];
const OPEN: &[Way] = &[];

/// Sorted by port.
pub(super) const SERVICES: &[Service] = &[
    Service { port: 22, name: "ssh", ways: OPEN },
    Service { port: 25, name: "smtp", ways: MAIL },
    Service { port: 53, name: "dns", ways: OPEN },
    Service { port: 80, name: "http", ways: WEB },
    Service { port: 110, name: "pop3", ways: OPEN },
    Service { port: 143, name: "imap", ways: MAILBOX },
    Service { port: 389, name: "ldap", ways: OPEN },
    Service { port: 443, name: "https", ways: SECURE_WEB },
    Service { port: 465, name: "submissions", ways: &[Way::Smtp(MailTls::Implicit), Way::Tls] },
    Service { port: 587, name: "submission", ways: MAIL },
    Service { port: 636, name: "ldaps", ways: SECRET },
    Service { port: 993, name: "imaps", ways: &[Way::Imap(MailTls::Implicit), Way::Tls] },
    Service { port: 995, name: "pop3s", ways: SECRET },
    Service { port: 3306, name: "mysql", ways: OPEN },
    Service { port: 4190, name: "sieve", ways: OPEN },
    Service { port: 5432, name: "postgresql", ways: OPEN },
    Service { port: 5672, name: "amqp", ways: OPEN },
    Service { port: 6379, name: "redis", ways: OPEN },
    Service { port: 8080, name: "http", ways: WEB },
    Service { port: 8443, name: "https", ways: SECURE_WEB },
    Service { port: 9200, name: "elasticsearch", ways: WEB },
    Service { port: 11211, name: "memcached", ways: OPEN },
    Service { port: 27017, name: "mongodb", ways: OPEN },
];

impl Service {
    /// A monitor that proves that the port takes connections.
    pub(super) fn connects(&self, address: IpAddr) -> MonitorConfig {
        MonitorConfig {
            runbook: Some(RunbookRef::Named(RUNBOOK.into())),
            tcp: Some(TcpConfig { host: address.to_string(), port: self.port }),
            ..MonitorConfig::new(format!("{} :{}", self.name, self.port))
        }
    }

    /// A monitor that speaks to the service.
    ///
    /// Certificates are for names and not for the addresses of this host, so they are not verified; their end is
    /// watched all the same.
    pub(super) fn speaks(&self, address: IpAddr, way: Way) -> MonitorConfig {
        let (host, port) = (address.to_string(), self.port);
        let mut monitor = MonitorConfig { tcp: None, ..self.connects(address) };
        match way {
            Way::Smtp(tls) => {
                monitor.smtp = Some(SmtpConfig { port: Some(port), tls, verify: false, ..SmtpConfig::new(host) });
            }
            Way::Imap(tls) => {
                monitor.imap = Some(ImapConfig { port: Some(port), tls, verify: false, ..ImapConfig::new(host) });
            }
            Way::Tls => {
                monitor.tls = Some(TlsConfig { verify: false, ..TlsConfig::new(host, port) });
            }
            Way::Http => monitor.http = web("http", address, port),
            Way::Https => monitor.http = web("https", address, port),
        }
        monitor
    }
}

/// A web server that answers is up: which page it shows to whom is not known here.
fn web(scheme: &str, address: IpAddr, port: u16) -> Option<HttpConfig> {
    let url = format!("{scheme}://{}/", std::net::SocketAddr::new(address, port));
    let answered = "200-499".parse().expect("it is a range");
    Some(HttpConfig {
        status: vec![answered],
        redirects: 0,
        verify: false,
        ..HttpConfig::new(url.parse().expect("it is an address"))
    })
}
