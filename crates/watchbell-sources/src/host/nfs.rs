//! NFS, as a client and as a server.

use std::collections::HashMap;
use std::io;

use super::Round;
use super::exposition::Exposition;
use super::files::{odd, whole};

/// The procedures of version 2, in order of their numbers.
const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write", "Create", "Remove",
    "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];
/// The procedures of version 3, in order of their numbers.
const V3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];
/// What a client of version 4 asks for, in the kernel's order.
const V4_CLIENT: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];
/// What a server of version 4 is asked for, by number; without a name what node_exporter does not tell.
const V4_SERVER: [&str; 40] = [
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

/// Lines `name value value …`.
struct Lines<'a>(HashMap<&'a str, Vec<&'a str>>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        let line = |line: &'a str| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, words.collect()))
        };
        Lines(text.lines().filter_map(line).collect())
    }

    /// A value; 0 where the kernel has none.
    fn get(&self, name: &str, at: usize) -> io::Result<f64> {
        match self.0.get(name).and_then(|values| values.get(at)) {
            Some(word) => whole(word).ok_or_else(|| odd("the counts of NFS")),
            None => Ok(0.0),
        }
    }

    /// Counts of procedures; the first value says how many there are.
    fn procedures(
        &self,
        (line, metric, version): (&str, &str, &str),
        names: &[&str],
        out: &mut Exposition,
    ) -> io::Result<()> {
        if !self.0.contains_key(line) {
            return Ok(());
        }
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let labels = [("proto", version), ("method", *name)];
            out.counter(metric, "Requests by version of NFS and procedure.", &labels, self.get(line, at + 1)?);
        }
        Ok(())
    }
}

pub(super) fn client(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/rpc/nfs")?;
    let (lines, out) = (Lines::of(&text), &mut *round.out);
    for (protocol, at) in [("udp", 1), ("tcp", 2)] {
        let help = "Packets of NFS by protocol.";
        out.counter("node_nfs_packets_total", help, &[("protocol", protocol)], lines.get("net", at)?);
    }
    out.counter("node_nfs_connections_total", "TCP connections of NFS.", &[], lines.get("net", 3)?);
    out.counter("node_nfs_rpcs_total", "Calls to servers.", &[], lines.get("rpc", 0)?);
    out.counter("node_nfs_rpc_retransmissions_total", "Calls that were sent again.", &[], lines.get("rpc", 1)?);
    let help = "Calls for which credentials were refreshed.";
    out.counter("node_nfs_rpc_authentication_refreshes_total", help, &[], lines.get("rpc", 2)?);
    const METRIC: &str = "node_nfs_requests_total";
    lines.procedures(("proc2", METRIC, "2"), &V2, out)?;
    lines.procedures(("proc3", METRIC, "3"), &V3, out)?;
    lines.procedures(("proc4", METRIC, "4"), &V4_CLIENT, out)
}

pub(super) fn server(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/rpc/nfsd")?;
    let (lines, out) = (Lines::of(&text), &mut *round.out);
    for (line, at, name, help) in [
        ("rc", 0, "reply_cache_hits_total", "Requests that came again and were answered from the cache."),
        ("rc", 1, "reply_cache_misses_total", "Requests that were put into the cache of answers."),
        ("rc", 2, "reply_cache_nocache_total", "Requests that need no cache of answers."),
        ("fh", 0, "file_handles_stale_total", "File handles that were stale."),
        ("io", 0, "disk_bytes_read_total", "Bytes that were read."),
        ("io", 1, "disk_bytes_written_total", "Bytes that were written."),
        ("ra", 11, "read_ahead_cache_not_found_total", "Reads that the cache of read-ahead did not know."),
        ("net", 3, "connections_total", "TCP connections to the server."),
        ("rpc", 0, "server_rpcs_total", "Calls to the server."),
    ] {
        out.counter(&format!("node_nfsd_{name}"), help, &[], lines.get(line, at)?);
    }
    out.gauge("node_nfsd_server_threads", "Threads of the server.", &[], lines.get("th", 0)?);
    let help = "Blocks of the cache of read-ahead.";
    out.gauge("node_nfsd_read_ahead_cache_size_blocks", help, &[], lines.get("ra", 0)?);
    for (protocol, at) in [("udp", 1), ("tcp", 2)] {
        let help = "Packets of the server by protocol.";
        out.counter("node_nfsd_packets_total", help, &[("proto", protocol)], lines.get("net", at)?);
    }
    for (error, at) in [("fmt", 2), ("auth", 3), ("cInt", 4)] {
        let help = "Calls that were refused, by reason.";
        out.counter("node_nfsd_rpc_errors_total", help, &[("error", error)], lines.get("rpc", at)?);
    }
    const METRIC: &str = "node_nfsd_requests_total";
    let without_null = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().map(|name| if *name == "Null" { "" } else { *name }).collect()
    };
    lines.procedures(("proc2", METRIC, "2"), &without_null(&V2), out)?;
    lines.procedures(("proc3", METRIC, "3"), &without_null(&V3), out)?;
    lines.procedures(("proc4ops", METRIC, "4"), &V4_SERVER, out)?;
    let labels = [("proto", "4"), ("method", "WdelegGetattr")];
    let help = "Requests by version of NFS and procedure.";
    out.counter(METRIC, help, &labels, lines.get("wdeleg_getattr", 0)?);
    Ok(())
}
