//! Remote write 1.0, as Prometheus sends it: requests made here, on a few connections.

use std::net::SocketAddr;

use anyhow::{Result, bail};

use super::client::Client;
use super::fleet::Series;

/// Samples of one request: what Prometheus sends at most by default.
pub const PER_REQUEST: usize = 2000;
/// Connections; a series stays on one, so that its samples come in order.
const CONNECTIONS: usize = 2;
const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: watchbell-bench\r\n";

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One request: each series with its samples (time, value).
pub fn request<'a>(series: impl Iterator<Item = (&'a [u8], Vec<(i64, f64)>)>) -> Vec<u8> {
    let (mut body, mut one) = (Vec::new(), Vec::new());
    for (labels, samples) in series {
        one.clear();
        one.extend_from_slice(labels);
        for (time, value) in samples {
            let mut sample = [0_u8; 32];
            sample[0] = 0x09;
            sample[1..9].copy_from_slice(&value.to_le_bytes());
            let mut rest = Vec::with_capacity(12);
            rest.push(0x10);
            put_varint(&mut rest, time as u64);
            sample[9..9 + rest.len()].copy_from_slice(&rest);
            one.extend_from_slice(&[0x12, 9 + rest.len() as u8]);
            one.extend_from_slice(&sample[..9 + rest.len()]);
        }
        body.push(0x0a);
        put_varint(&mut body, one.len() as u64);
        body.extend_from_slice(&one);
    }
    snap::raw::Encoder::new().compress_vec(&body).expect("a body is shorter than 4 GiB")
}

/// How series are sent.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The time of the first scrape, in milliseconds since 1970.
    pub start: i64,
    /// Milliseconds between scrapes.
    pub step: i64,
    /// How many scrapes.
    pub scrapes: usize,
    /// How many of them go into one request.
    pub per_series: usize,
}

/// The requests of one connection, one after the other.
pub struct Requests<'a> {
    series: &'a mut [Series],
    plan: Plan,
    done: usize,
    at: usize,
}

impl Iterator for Requests<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let plan = self.plan;
        if self.done >= plan.scrapes || self.series.is_empty() {
            return None;
        }
        let scrapes = plan.per_series.min(plan.scrapes - self.done);
        let end = (self.at + (PER_REQUEST / scrapes).max(1)).min(self.series.len());
        let first = plan.start + self.done as i64 * plan.step;
        let body = request(self.series[self.at..end].iter_mut().map(|series| {
            let samples = (0..scrapes as i64)
                .map(|scrape| first + scrape * plan.step)
                .map(|time| (time, series.next(time)))
                .collect();
            (&*series.labels, samples)
        }));
        self.at = end;
        if end == self.series.len() {
            (self.at, self.done) = (0, self.done + scrapes);
        }
        Some(body)
    }
}

/// The requests of each connection.
pub fn requests(series: &mut [Series], plan: Plan) -> Vec<Requests<'_>> {
    let share = series.len().div_ceil(CONNECTIONS).max(PER_REQUEST);
    series.chunks_mut(share).map(|series| Requests { series, plan, done: 0, at: 0 }).collect()
}

/// Sends what each connection has; fails when anything is refused.
pub fn send<I: Iterator<Item = Vec<u8>> + Send>(address: SocketAddr, connections: Vec<I>) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .map(|bodies| {
                scope.spawn(move || -> Result<()> {
                    let mut client = Client::connect(address)?;
                    bodies.into_iter().try_for_each(|body| post(&mut client, &body))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })
}

/// Sends one request.
pub fn post(client: &mut Client, body: &[u8]) -> Result<()> {
    let answer = client.request("POST", "/api/v1/write", HEADERS, body)?;
    if !(200..300).contains(&answer.status) {
        bail!("a request was refused: {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}
