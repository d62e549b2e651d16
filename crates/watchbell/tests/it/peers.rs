//! Real mail servers from Debian's packages, each with a throw-away configuration, on ports of its own.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::kit::{Folder, signal, wait_until};

/// Dovecot, serving IMAP and POP3 with STARTTLS and inside TLS; every user's password is `secret`.
pub struct Dovecot {
    child: Child,
    folder: Folder,
    pub at: Ipv4Addr,
}

/// Its ports.
pub const IMAP: u16 = 10143;
pub const IMAPS: u16 = 10993;
pub const POP3: u16 = 10110;
pub const POP3S: u16 = 10995;

impl Dovecot {
    /// Starts it on an address with a certificate and its key as PEM.
    pub fn start(at: Ipv4Addr, certificate: &str, key: &str) -> Dovecot {
        let folder = Folder::new("dovecot");
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
        Dovecot::run(folder, at)
    }

    fn run(folder: Folder, at: Ipv4Addr) -> Dovecot {
        let here = folder.path().display();
        let user =
            String::from_utf8_lossy(&Command::new("id").arg("-un").output().expect("id").stdout).trim().to_owned();
        // Without root every process runs as the user who runs the tests.
        let users = if user == "root" {
            String::new()
        } else {
            format!("default_internal_user = {user}\ndefault_login_user = {user}\n")
        };
        let configuration = format!(
            "base_dir = {here}/run\nstate_dir = {here}/run\nlog_path = {here}/log\nprotocols = imap pop3\nlisten = {at}\n\
             {users}ssl = required\nssl_cert = <{here}/cert.pem\nssl_key = <{here}/key.pem\n\
             mail_location = maildir:{here}/mail/%u\n\
             passdb {{\n  driver = static\n  args = password=secret\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home={here}/mail/%u\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {IMAP}\n  }}\n  \
             inet_listener imaps {{\n    port = {IMAPS}\n    ssl = yes\n  }}\n}}\n\
             service pop3-login {{\n  chroot =\n  inet_listener pop3 {{\n    port = {POP3}\n  }}\n  \
             inet_listener pop3s {{\n    port = {POP3S}\n    ssl = yes\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n"
        );
        let file = folder.write("dovecot.conf", &configuration);
        std::fs::create_dir_all(folder.path().join("mail")).expect("a folder");
        let child = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dovecot is installed (apt-get install dovecot-imapd)");
        let dovecot = Dovecot { child, folder, at };
        wait_until("dovecot listens", || TcpStream::connect((at, IMAPS)).is_ok());
        dovecot
    }

    /// The folder with a mailbox for each user.
    pub fn mailboxes(&self) -> std::path::PathBuf {
        self.folder.path().join("mail")
    }

    /// Stops it; its ports refuse connections afterwards.
    pub fn stop(mut self) -> Stopped {
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
        let at = self.at;
        wait_until("dovecot is gone", || TcpStream::connect((at, IMAPS)).is_err());
        let folder = std::mem::replace(&mut self.folder, Folder::new("gone"));
        Stopped { folder, at }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A Dovecot that was stopped and can be started again.
pub struct Stopped {
    folder: Folder,
    at: Ipv4Addr,
}

impl Stopped {
    /// Starts it again.
    pub fn start(self) -> Dovecot {
        Dovecot::run(self.folder, self.at)
    }
}

/// Postfix, serving SMTP with STARTTLS and inside TLS; mail to anybody at `inbox.watchbell.test` is joe's.
pub struct Postfix {
    folder: Folder,
    pub at: Ipv4Addr,
}

/// Its ports.
pub const SMTP: u16 = 10025;
pub const SMTPS: u16 = 10465;

impl Postfix {
    /// Whether it can be run: its master process insists on root.
    pub fn can_run() -> bool {
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    }

    /// Starts it on an address with a certificate and its key as PEM; delivers into the folder of mailboxes.
    pub fn start(at: Ipv4Addr, certificate: &str, key: &str, mailboxes: &Path) -> Postfix {
        let folder = Folder::new("postfix");
        let here = folder.path().display().to_string();
        folder.write("cert.pem", certificate);
        folder.write("key.pem", key);
        folder.write(
            "etc/main.cf",
            &format!(
                "compatibility_level = 3.6\nqueue_directory = {here}/queue\ndata_directory = {here}/data\n\
                 command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
                 setgid_group = postdrop\nmyhostname = mail.watchbell.test\ninet_interfaces = 127.0.0.1\n\
                 inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nmaillog_file = {here}/maillog\n\
                 maillog_file_prefixes = {prefix}\nsmtpd_tls_cert_file = {here}/cert.pem\n\
                 smtpd_tls_key_file = {here}/key.pem\nsmtpd_tls_security_level = may\nalias_maps =\nalias_database =\n\
                 virtual_mailbox_domains = inbox.watchbell.test\nvirtual_mailbox_base = {mailboxes}\n\
                 virtual_mailbox_maps = static:joe/\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n",
                mailboxes = mailboxes.display(),
                prefix = std::env::temp_dir().display(),
            ),
        );
        folder.write(
            "etc/master.cf",
            &format!(
                "{at}:{SMTP} inet n - n - - smtpd\n{at}:{SMTPS} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n\
                 postlog unix-dgram n - n - 1 postlogd\nrewrite unix - - n - - trivial-rewrite\n\
                 proxymap unix - - n - - proxymap\nanvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
                 cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\npickup unix n - n 60 1 pickup\n\
                 bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\nsmtp unix - - n - - smtp\n\
                 virtual unix - n n - - virtual\n"
            ),
        );
        for name in ["queue", "data"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        for (user, folder) in [("postfix", format!("{here}/data")), ("nobody", mailboxes.display().to_string())] {
            let owned = Command::new("chown").args([user, &folder]).status();
            assert!(owned.is_ok_and(|status| status.success()), "chown to {user}");
        }
        let postfix = Postfix { folder, at };
        assert!(postfix.command("start"), "postfix starts");
        wait_until("postfix listens", || TcpStream::connect((at, SMTP)).is_ok());
        postfix
    }

    fn command(&self, verb: &str) -> bool {
        let etc = self.folder.path().join("etc");
        let run = Command::new("/usr/sbin/postfix").arg("-c").arg(&etc).arg(verb).output();
        run.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("stop");
    }
}

/// A file of this machine that shows a package is there, or why the test cannot run.
pub fn must_have(file: &str, package: &str) {
    assert!(Path::new(file).exists(), "{file} is missing: apt-get install {package} (cargo xtask test does it)");
}
