//! Which samples are sent next: those of one series always one after the other, different ones beside each other.
//!
//! Pure: takes `now`, knows no queue, no request. Series are spread over shards by their labels; each shard has one
//! request under way at most and repeats it until there is an answer that ends it, so nothing overtakes in a series.
//!
//! Invariant: a place in the queue is given as done when everything before it has ended, whatever order shards end in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::Timestamp;

use super::config::SendConfig;
use super::position::Position;
use super::record::Piece;

/// What one request holds.
pub(crate) struct Batch {
    pub(crate) pieces: Vec<Piece>,
    /// For each piece, the frame it came from.
    frames: Vec<u64>,
    /// Whether the other store may have it already.
    pub(crate) again: bool,
}

/// After so many refusals in a row nobody looks any more for what of a request is good.
const REFUSALS_MAX: u32 = 4096;

impl Batch {
    pub(crate) fn samples(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.samples() as u64).sum()
    }
}

pub(crate) struct Shards {
    config: SendConfig,
    shards: Vec<Shard>,
    /// Frames that have not ended, in the order of the queue.
    frames: VecDeque<Frame>,
    /// The number of the first of them.
    first: u64,
    /// What lies before this place may have been sent by another process.
    repeated: Position,
}

#[derive(Default)]
struct Shard {
    /// With the frame each came from, and whether the other store may have it already.
    waiting: VecDeque<(u64, Piece, bool)>,
    weight: usize,
    /// When the first that waits came.
    since: Duration,
    /// What is to be sent until it has ended.
    sending: Option<Arc<Batch>>,
    under_way: bool,
    failures: u32,
    not_before: Duration,
    /// At most so many samples in a request, after one was too large; 0 for as many as are configured.
    most: usize,
    /// The same while it is looked for what of a refused request is bad.
    part: usize,
    /// Requests that were refused since one was taken.
    refusals: u32,
}

struct Frame {
    end: Position,
    queued: Timestamp,
    left: usize,
}

impl Shards {
    /// `repeated`: what lies before that place may have been sent before.
    pub(crate) fn new(config: SendConfig, repeated: Position) -> Shards {
        let shards = (0..config.max_shards).map(|_| Shard::default()).collect();
        Shards { config, shards, frames: VecDeque::new(), first: 0, repeated }
    }

    /// Whether another frame may be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.shards.iter().all(|shard| shard.weight < self.config.capacity)
    }

    /// Takes a frame in; gives the place that is done, if there was nothing to be sent in it nor before it.
    pub(crate) fn take(
        &mut self,
        end: Position,
        queued: Timestamp,
        pieces: Vec<Piece>,
        now: Duration,
    ) -> Option<Position> {
        let number = self.first + self.frames.len() as u64;
        self.frames.push_back(Frame { end, queued, left: pieces.len() });
        let count = self.shards.len() as u64;
        for piece in pieces {
            let shard = &mut self.shards[(piece.labels.fingerprint() % count) as usize];
            if shard.waiting.is_empty() {
                shard.since = now;
            }
            shard.weight += piece.weight();
            shard.waiting.push_back((number, piece, end <= self.repeated));
        }
        self.ended()
    }

    /// What is to be sent now: shard and request. `draining`: what is not full goes too.
    pub(crate) fn due(&mut self, now: Duration, draining: bool) -> Vec<(usize, Arc<Batch>)> {
        let mut due = Vec::new();
        let deadline = self.config.batch_send_deadline.duration();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if shard.under_way || shard.not_before > now {
                continue;
            }
            let bounds = [shard.most, shard.part].into_iter().filter(|bound| *bound > 0);
            let most = bounds.fold(self.config.max_samples_per_send, usize::min);
            let ripe = shard.weight >= most || draining || now >= shard.since + deadline;
            if shard.sending.is_none() && !shard.waiting.is_empty() && ripe {
                let (mut batch, mut weight) = (Batch { pieces: Vec::new(), frames: Vec::new(), again: false }, 0);
                while let Some((_, piece, _)) = shard.waiting.front()
                    && (weight == 0 || weight + piece.weight() <= most)
                {
                    let (frame, piece, again) = shard.waiting.pop_front().expect("it is there");
                    weight += piece.weight();
                    batch.again |= again;
                    batch.pieces.push(piece);
                    batch.frames.push(frame);
                }
                shard.weight -= weight;
                shard.since = now;
                shard.sending = Some(Arc::new(batch));
            }
            if let Some(batch) = &shard.sending {
                shard.under_way = true;
                due.push((at, Arc::clone(batch)));
            }
        }
        due
    }

    /// When something is due next, if nothing else happens.
    pub(crate) fn next(&self) -> Option<Duration> {
        let deadline = self.config.batch_send_deadline.duration();
        let shards = self.shards.iter().filter(|shard| !shard.under_way);
        let next = shards.filter_map(|shard| match (&shard.sending, shard.waiting.is_empty()) {
            (Some(_), _) => Some(shard.not_before),
            (None, false) => Some(shard.not_before.max(shard.since + deadline)),
            (None, true) => None,
        });
        next.min()
    }

    /// The request of a shard has ended, one way or the other; gives the place up to which everything has.
    pub(crate) fn end(&mut self, shard: usize, taken: bool) -> Option<Position> {
        let shard = &mut self.shards[shard];
        if taken {
            shard.refusals = 0;
            // What is bad is behind us, or not: larger steps again.
            shard.part = shard.part.checked_mul(2).filter(|part| *part < self.config.max_samples_per_send).unwrap_or(0);
        } else {
            shard.refusals = shard.refusals.saturating_add(1);
        }
        shard.under_way = false;
        shard.failures = 0;
        let batch = shard.sending.take()?;
        for frame in &batch.frames {
            self.frames[(frame - self.first) as usize].left -= 1;
        }
        self.ended()
    }

    /// The request of a shard failed and is sent again: at once for `None`, else after the wait the receiver asked for
    /// or one that grows. `unit`: a random number from 0 to below 1.
    pub(crate) fn again(&mut self, shard: usize, wait: Option<Option<Duration>>, now: Duration, unit: f64) {
        let shard = &mut self.shards[shard];
        shard.under_way = false;
        if let Some(asked) = wait {
            shard.failures = shard.failures.saturating_add(1);
            shard.not_before = now + asked.unwrap_or_default().max(backoff(&self.config, shard.failures, unit));
        }
    }

    /// The request of a shard was too large: its parts are sent from now on. `false`: it has only one part.
    pub(crate) fn split(&mut self, shard: usize) -> bool {
        let shard = &mut self.shards[shard];
        let Some(half) = shard.put_back() else { return false };
        shard.most = half;
        true
    }

    /// The request of a shard was refused as a whole: its parts are sent to find which of them is bad, because some
    /// receivers refuse all for the sake of one. `false`: it has only one part, or it seems that none is good.
    pub(crate) fn search(&mut self, shard: usize) -> bool {
        let shard = &mut self.shards[shard];
        if shard.refusals >= REFUSALS_MAX {
            return false;
        }
        let Some(half) = shard.put_back() else { return false };
        shard.part = half;
        true
    }

    /// Whether the request of a shard failed before, so that its samples may be there already.
    pub(crate) fn has_failed(&self, shard: usize) -> bool {
        self.shards[shard].failures > 0
    }

    /// When the oldest thing that has not ended was queued.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.frames.front().map(|frame| frame.queued)
    }

    /// Whether all has ended that was taken in.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether everything that is left waits because it failed.
    pub(crate) fn all_failing(&self, now: Duration) -> bool {
        self.shards.iter().all(|shard| match &shard.sending {
            Some(_) => !shard.under_way && shard.not_before > now,
            None => shard.waiting.is_empty(),
        })
    }

    fn ended(&mut self) -> Option<Position> {
        let mut end = None;
        while self.frames.front().is_some_and(|frame| frame.left == 0) {
            end = self.frames.pop_front().map(|frame| frame.end);
            self.first += 1;
        }
        end
    }
}

impl Shard {
    /// What was being sent waits again, at the front; gives half its weight. `None`: it cannot be halved.
    fn put_back(&mut self) -> Option<usize> {
        let batch = self.sending.take_if(|batch| batch.pieces.len() > 1)?;
        self.under_way = false;
        let again = batch.again || self.failures > 0;
        let weight: usize = batch.pieces.iter().map(Piece::weight).sum();
        self.weight += weight;
        for (frame, piece) in batch.frames.iter().zip(&batch.pieces).rev() {
            self.waiting.push_front((*frame, piece.clone(), again));
        }
        // Due at once: it has waited already.
        self.since = Duration::ZERO;
        Some((weight / 2).max(1))
    }
}

/// The wait after so many failures in a row: it doubles, and its last half is drawn by chance, so that senders who
/// failed together do not come back together.
fn backoff(config: &SendConfig, failures: u32, unit: f64) -> Duration {
    let first = config.min_backoff.duration();
    let full = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(config.max_backoff.duration());
    full.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use watchbell_model::{Labels, Sample, Span};

    use super::*;

    fn piece(name: &str, values: &[f64]) -> Piece {
        let sample = |value: &f64| Sample { timestamp: Timestamp(*value as i64), value: *value };
        Piece { labels: Labels::metric(name, &[]), samples: values.iter().map(sample).collect(), ..Piece::default() }
    }

    fn shards(count: usize, most: usize) -> Shards {
        let config = SendConfig { max_shards: count, max_samples_per_send: most, capacity: 4, ..SendConfig::default() };
        Shards::new(config, Position::default())
    }

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    fn said(due: &[(usize, Arc<Batch>)]) -> String {
        let piece = |piece: &Piece| {
            let values: Vec<String> = piece.samples.iter().map(|it| it.value.to_string()).collect();
            format!("{}={}", piece.labels, values.join(","))
        };
        let batch = |(_, batch): &(usize, Arc<Batch>)| batch.pieces.iter().map(piece).collect::<Vec<_>>().join(" ");
        due.iter().map(batch).collect::<Vec<_>>().join(" | ")
    }

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_series_stays_in_order_and_a_place_is_done_when_all_before_it_ended() {
        let mut shards = shards(2, 2);
        // `a` and `b` fall into different shards.
        assert_eq!(shards.take(at(1), Timestamp(1), vec![piece("a", &[1.0]), piece("b", &[1.0])], S), None);
        assert_eq!(shards.take(at(2), Timestamp(2), vec![piece("a", &[2.0])], S), None);
        assert_eq!(shards.take(at(3), Timestamp(3), Vec::new(), S), None);
        let due = shards.due(S, false);
        assert_eq!(said(&due), "a=1 a=2");
        shards.take(at(4), Timestamp(4), vec![piece("a", &[3.0, 4.0])], S);
        assert_eq!(said(&shards.due(S, false)), "", "what is under way comes first");
        shards.again(due[0].0, Some(None), S, 0.0);
        assert_eq!(said(&shards.due(S, false)), "", "not at once");
        assert_eq!(shards.next(), Some(S + Duration::from_millis(15)));
        assert_eq!(said(&shards.due(S * 2, false)), "a=1 a=2", "the same again");
        assert_eq!(shards.end(due[0].0, true), None, "b has not ended");
        assert_eq!(said(&shards.due(S * 2, false)), "a=3,4");
        let late = shards.due(S * 6, false);
        assert_eq!(said(&late), "b=1", "after the deadline");
        assert_eq!(shards.end(late[0].0, true), Some(at(3)));
        assert_eq!(shards.oldest(), Some(Timestamp(4)));
        assert_eq!(shards.end(due[0].0, true), Some(at(4)));
        assert!(shards.is_empty());
        assert_eq!(shards.take(at(5), Timestamp(5), Vec::new(), S), Some(at(5)));
    }

    #[test]
    fn memory_is_bounded_and_a_request_that_is_too_large_is_sent_in_parts() {
        let mut shards = shards(1, 4);
        let pieces = [1.0, 2.0, 3.0, 4.0].map(|value| piece("a", &[value]));
        shards.take(at(1), Timestamp(1), pieces.to_vec(), S);
        assert!(!shards.has_room());
        assert_eq!(said(&shards.due(S, false)), "a=1 a=2 a=3 a=4");
        assert!(shards.split(0));
        assert_eq!(said(&shards.due(S, false)), "a=1 a=2");
        assert!(shards.split(0));
        assert_eq!(said(&shards.due(S, false)), "a=1");
        assert!(!shards.split(0));
        assert_eq!(shards.end(0, true), None);
        assert_eq!(said(&shards.due(S, true)), "a=2");
    }

    #[test]
    fn what_is_bad_in_a_refused_request_is_found() {
        let mut shards = shards(1, 8);
        let pieces = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(|value| piece("a", &[value]));
        shards.take(at(1), Timestamp(1), pieces.to_vec(), S);
        let mut said = Vec::new();
        while let Some((shard, batch)) = shards.due(S, true).pop() {
            let values: Vec<f64> = batch.pieces.iter().map(|piece| piece.samples[0].value).collect();
            let bad = values.contains(&3.0);
            said.push(format!("{values:?} {}", if bad { "refused" } else { "taken" }));
            if !bad || !shards.search(shard) {
                shards.end(shard, !bad);
            }
        }
        expect_test::expect![[r#"
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] refused
            [1.0, 2.0, 3.0, 4.0] refused
            [1.0, 2.0] taken
            [3.0, 4.0, 5.0, 6.0] refused
            [3.0, 4.0] refused
            [3.0] refused
            [4.0] taken
            [5.0, 6.0] taken
            [7.0, 8.0] taken"#]]
        .assert_eq(&said.join("\n"));
        assert!(shards.is_empty());
    }

    #[test]
    fn waits_double_and_the_receivers_wish_goes_before_ours() {
        let config = SendConfig::default();
        let waits: Vec<u128> = (1..12).map(|failures| backoff(&config, failures, 1.0).as_millis()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000, 5000]);
        let mut shards = Shards::new(SendConfig { batch_send_deadline: Span::ZERO, ..config }, Position::default());
        shards.take(at(1), Timestamp(1), vec![piece("a", &[1.0])], S);
        let (shard, _) = shards.due(S, false)[0];
        shards.again(shard, Some(Some(S * 60)), S, 0.5);
        assert_eq!(shards.next(), Some(S * 61));
        assert!(shards.all_failing(S));
    }
}
