//! Chunks: some samples of one series.

use super::super::xor::read_xor;
use super::{Samples, histogram};

/// Values by XOR.
pub(crate) const XOR: u8 = 1;
/// Native histograms with whole counts.
pub(super) const HISTOGRAM: u8 = 2;
/// Native histograms with counts of any kind.
pub(crate) const FLOAT_HISTOGRAM: u8 = 3;

/// Adds the samples of a chunk; the error says in words what is wrong.
pub(crate) fn decode(encoding: u8, bytes: &[u8], out: &mut Samples) -> Result<(), String> {
    let done = match encoding {
        XOR => read_xor(bytes, &mut out.values).ok(),
        HISTOGRAM => histogram::whole(bytes, &mut out.histograms),
        FLOAT_HISTOGRAM => histogram::floats(bytes, &mut out.histograms),
        4 => return Err("its encoding is XOR2, an experiment of Prometheus that is not read".into()),
        5 | 6 => return Err("its histograms have start times, an experiment of Prometheus that is not read".into()),
        other => return Err(format!("its encoding {other} is not known")),
    };
    done.ok_or_else(|| "its samples do not add up".into())
}
