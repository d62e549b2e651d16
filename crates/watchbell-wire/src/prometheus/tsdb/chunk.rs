//! Chunks: some samples of one series.

use watchbell_model::{Sample, Timestamp};

use super::cursor::{Bits, Cursor, Xor};
use super::{Samples, histogram};

/// Values by XOR.
pub(super) const XOR: u8 = 1;
/// Native histograms with whole counts.
pub(super) const HISTOGRAM: u8 = 2;
/// Native histograms with counts of any kind.
pub(super) const FLOAT_HISTOGRAM: u8 = 3;

/// Adds the samples of a chunk; the error says in words what is wrong.
pub(super) fn decode(encoding: u8, bytes: &[u8], out: &mut Samples) -> Result<(), String> {
    let done = match encoding {
        XOR => values(bytes, &mut out.values),
        HISTOGRAM => histogram::whole(bytes, &mut out.histograms),
        FLOAT_HISTOGRAM => histogram::floats(bytes, &mut out.histograms),
        4 => return Err("its encoding is XOR2, an experiment of Prometheus that is not read".into()),
        5 | 6 => return Err("its histograms have start times, an experiment of Prometheus that is not read".into()),
        other => return Err(format!("its encoding {other} is not known")),
    };
    done.ok_or_else(|| "its samples do not add up".into())
}

fn values(bytes: &[u8], out: &mut Vec<Sample>) -> Option<()> {
    let mut head = Cursor(bytes);
    let count = head.u16()?;
    let mut from = Bits::new(head.0);
    let mut push = |time: i64, value: f64| out.push(Sample { timestamp: Timestamp(time), value });
    if count == 0 {
        return Some(());
    }
    let mut time = from.varint()?;
    let mut value = Xor::new(from.bits(64)?);
    push(time, f64::from_bits(value.value));
    let mut step = 0_i64;
    for at in 1..count {
        step = if at == 1 {
            from.uvarint()? as i64
        } else {
            let change = match from.ones(4)? {
                0 => 0,
                1 => from.signed(14)?,
                2 => from.signed(17)?,
                3 => from.signed(20)?,
                _ => from.signed(64)?,
            };
            step.wrapping_add(change)
        };
        time = time.wrapping_add(step);
        push(time, value.read(&mut from)?);
    }
    Some(())
}
