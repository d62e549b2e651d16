//! Columns of the chunks in blocks: times, values and whole numbers, each in the shortest of a few forms.
//!
//! Pure; exact to the last bit. Fixed steps and constants cost a few bytes; decimal fractions are scaled to whole
//! numbers, which pack far better than their floats; a marker or NaN among numbers is kept beside them instead of
//! spoiling them. The rest is left to `pco`, but for columns so short that its header would be most of them.
//! Layout: `docs/formats/metrics.md`.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::bytes::{Cursor, put_signed, put_varint};

/// How hard to try: blocks of two hours are written often and merged soon, merged ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    Quick,
    Thorough,
}

// Forms of times.
const FIXED: u8 = 0;
const PACKED_TIMES: u8 = 1;
const RUNS: u8 = 2;

// Forms of values.
const CONSTANT: u8 = 0;
const FLOATS: u8 = 1;
const WHOLE: u8 = 2;
const SCALED: u8 = 3;
const SHORT: u8 = 4;
const PATCHED: u8 = 5;
const NARROW: u8 = 6;
const SPARSE: u8 = 7;

/// Of [`NARROW`]: the numbers packed are differences. Below it is how many bytes each has.
const DIFFERENCES: u8 = 8;

// Forms of whole numbers.
const PACKED: u8 = 0;
const STEPS: u8 = 1;
const STEPS_OF_STEPS: u8 = 2;

/// Whole numbers up to this are the same as floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// How many decimals a column may have to be scaled to whole numbers.
const DECIMALS_MAX: usize = 15;
/// Columns up to this length are tried without `pco`, whose header costs about twenty bytes.
const SHORT_MAX: usize = 64;
/// Runs that cost no more than this are better than anything `pco` could do.
const RUNS_CHEAP: usize = 24;
/// So many numbers of a column must be the same as the one before for each that is not, or it is not sparse.
const SPARSE_MIN: usize = 8;
/// How many times as widely as their differences numbers may be spread, or these as those, to be tried at all.
const NEAR: f64 = 4.0;
/// Numbers that `pco` takes out at once.
const BATCH: usize = 256;

/// Adds times, which ascend; the first and their number are kept elsewhere. `None` if they cannot be packed.
pub(crate) fn put_times(out: &mut Vec<u8>, times: &[i64], effort: Effort) -> Option<()> {
    let mut runs = Vec::<(i64, u64)>::new();
    for pair in times.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        match runs.last_mut().filter(|(last, _)| *last == step) {
            Some((_, count)) => *count += 1,
            None => runs.push((step, 1)),
        }
    }
    if runs.len() < 2 {
        out.push(FIXED);
        put_signed(out, runs.first().map_or(0, |(step, _)| *step));
        return Some(());
    }
    let mut spelled = vec![RUNS];
    put_varint(&mut spelled, runs.len() as u64);
    for (step, count) in runs {
        put_signed(&mut spelled, step);
        put_varint(&mut spelled, count);
    }
    if spelled.len() > RUNS_CHEAP {
        let since: Vec<i64> = times.iter().map(|time| time.wrapping_sub(times[0])).collect();
        let packed = pack(&since, effort)?;
        if packed.len() + 2 < spelled.len() {
            spelled = vec![PACKED_TIMES];
            put_sized(&mut spelled, &packed);
        }
    }
    out.extend_from_slice(&spelled);
    Some(())
}

/// Reads `count` times; `None` on bytes that nobody wrote.
pub(crate) fn take_times(from: &mut Cursor<'_>, first: i64, count: usize) -> Option<Vec<i64>> {
    match from.u8()? {
        FIXED => {
            let step = from.signed()?;
            Some((0..count as i64).map(|at| first.wrapping_add(step.wrapping_mul(at))).collect())
        }
        PACKED_TIMES => {
            let mut times = vec![0_i64; count];
            unpack(take_sized(from)?, count, &mut times)?;
            times.iter_mut().for_each(|time| *time = time.wrapping_add(first));
            Some(times)
        }
        RUNS => {
            let (mut times, mut time) = (Vec::with_capacity(count), first);
            times.push(time);
            for _ in 0..from.varint()? {
                let (step, more) = (from.signed()?, from.varint()?);
                if more > (count - times.len()) as u64 {
                    return None;
                }
                for _ in 0..more {
                    time = time.wrapping_add(step);
                    times.push(time);
                }
            }
            (times.len() == count).then_some(times)
        }
        _ => None,
    }
}

/// Adds values as the rest of `out`; their number is kept elsewhere. `None` if they cannot be packed.
pub(crate) fn put_values(out: &mut Vec<u8>, values: &[f64], effort: Effort) -> Option<()> {
    let odd = |value: &f64| !value.is_finite() || value.to_bits() == (-0.0_f64).to_bits();
    let patches = values.iter().filter(|value| odd(value)).count();
    if patches == 0 || patches * 8 > values.len() || is_constant(values) {
        return put_numbers(out, values, effort);
    }
    out.push(PATCHED);
    put_varint(out, patches as u64);
    let mut plain = values.to_vec();
    let mut last = values.iter().copied().find(|value| !odd(value)).unwrap_or_default();
    let mut patched = 0;
    for (at, value) in plain.iter_mut().enumerate() {
        if odd(value) {
            put_varint(out, (at - patched) as u64);
            put_varint(out, value.to_bits().swap_bytes());
            (patched, *value) = (at, last);
        }
        last = *value;
    }
    put_numbers(out, &plain, effort)
}

fn put_numbers(out: &mut Vec<u8>, values: &[f64], effort: Effort) -> Option<()> {
    if is_constant(values) {
        out.push(CONSTANT);
        put_varint(out, values[0].to_bits().swap_bytes());
        return Some(());
    }
    let mut best: Option<Vec<u8>> = None;
    let offer = |best: &mut Option<Vec<u8>>, form: Vec<u8>| {
        if best.as_ref().is_none_or(|best| form.len() < best.len()) {
            *best = Some(form);
        }
    };
    let scaled = decimals(values.iter().copied()).and_then(|decimals| Some((decimals, scale(values, decimals)?)));
    if let Some((decimals, whole)) = &scaled {
        let decimals = *decimals as u8;
        let sparse = sparse(whole, decimals);
        sparse.into_iter().for_each(|form| offer(&mut best, form));
        if whole.len() <= SHORT_MAX {
            let mut form = vec![SHORT, decimals];
            put_short(&mut form, whole);
            offer(&mut best, form);
        }
        if best.as_ref().is_none_or(|form| form.len() > RUNS_CHEAP) {
            for form in narrow(whole, decimals, effort)? {
                offer(&mut best, form);
            }
        }
    }
    // Whole numbers are never better as floats; decimals hardly ever, and not where they are narrow.
    let is_wide = |decimals| decimals > 0 && best_is_wide(best.as_deref()) && effort == Effort::Thorough;
    if scaled.is_none_or(|(decimals, _)| is_wide(decimals)) {
        let mut form = vec![FLOATS];
        form.extend_from_slice(&pack(values, effort)?);
        offer(&mut best, form);
    }
    out.extend_from_slice(&best?);
    Some(())
}

fn best_is_wide(best: Option<&[u8]>) -> bool {
    best.is_none_or(|form| form[0] == SCALED)
}

/// Whole numbers that stay the same most of the time: how often, and then by how much they change; `None` if they are
/// not so.
fn sparse(whole: &[i64], decimals: u8) -> Option<Vec<u8>> {
    let changes = whole.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes.saturating_mul(SPARSE_MIN) > whole.len() {
        return None;
    }
    let mut form = vec![SPARSE, decimals];
    put_signed(&mut form, whole[0]);
    let mut same = 0;
    for pair in whole.windows(2) {
        if pair[0] == pair[1] {
            same += 1;
        } else {
            put_varint(&mut form, same);
            put_signed(&mut form, pair[1].wrapping_sub(pair[0]));
            same = 0;
        }
    }
    Some(form)
}

/// Whole numbers, or their differences, less the least of them and in units of what divides them all, as narrow as they
/// are then: `pco` spends bits on each bin's bounds by the width of its type. Where that is too wide, as they are.
fn narrow(whole: &[i64], decimals: u8, effort: Effort) -> Option<Vec<Vec<u8>>> {
    let wide = || {
        let mut form = if decimals == 0 { vec![WHOLE] } else { vec![SCALED, decimals] };
        form.extend_from_slice(&pack(whole, effort)?);
        Some(vec![form])
    };
    let differences: Option<Vec<i64>> = whole.windows(2).map(|pair| pair[1].checked_sub(pair[0])).collect();
    let Some(differences) = differences else { return wide() };
    let (plain, differing) = (Shape::of(whole), Shape::of(&differences));
    // The one that is spread less, in its units, takes less; where they are near to one another both are tried.
    let (at_once, by_difference) = (plain.spread(whole), differing.spread(&differences));
    let mut forms = Vec::new();
    if at_once <= by_difference * NEAR {
        let mut form = vec![NARROW, decimals];
        if plain.put(&mut form, 0, None, whole, effort)? {
            forms.push(form);
        }
    }
    if by_difference < at_once * NEAR {
        let mut form = vec![NARROW, decimals];
        if differing.put(&mut form, DIFFERENCES, Some(whole[0]), &differences, effort)? {
            forms.push(form);
        }
    }
    if forms.is_empty() { wide() } else { Some(forms) }
}

/// What numbers have in common.
struct Shape {
    least: i64,
    /// Divides each one's distance to the least.
    unit: u64,
    /// Between the least and the greatest, in units.
    range: u64,
}

impl Shape {
    fn of(numbers: &[i64]) -> Shape {
        let least = numbers.iter().copied().min().unwrap_or(0);
        let (mut unit, mut range) = (0_u64, 0);
        for number in numbers {
            let above = number.abs_diff(least);
            range = range.max(above);
            if unit != 1 {
                unit = divisor(unit, above);
            }
        }
        let unit = unit.max(1);
        Shape { least, unit, range: range / unit }
    }

    /// How far numbers lie from their middle on average, in units.
    fn spread(&self, numbers: &[i64]) -> f64 {
        let above = |number: &i64| number.abs_diff(self.least) as f64;
        let count = numbers.len().max(1) as f64;
        let middle = numbers.iter().map(above).sum::<f64>() / count;
        numbers.iter().map(|number| (above(number) - middle).abs()).sum::<f64>() / count / self.unit as f64
    }

    /// Adds them as narrow numbers; whether they are.
    fn put(&self, out: &mut Vec<u8>, how: u8, first: Option<i64>, numbers: &[i64], effort: Effort) -> Option<bool> {
        let units = numbers.iter().map(|number| number.abs_diff(self.least) / self.unit);
        let (width, packed) = if u8::try_from(self.range).is_ok() {
            (1, pack_plain(&units.map(|number| number as u8).collect::<Vec<_>>(), effort)?)
        } else if u16::try_from(self.range).is_ok() {
            (2, pack_plain(&units.map(|number| number as u16).collect::<Vec<_>>(), effort)?)
        } else if u32::try_from(self.range).is_ok() {
            (4, pack_plain(&units.map(|number| number as u32).collect::<Vec<_>>(), effort)?)
        } else {
            return Some(false);
        };
        out.push(how | width);
        first.into_iter().for_each(|first| put_signed(out, first));
        put_signed(out, self.least);
        put_varint(out, self.unit);
        out.extend_from_slice(&packed);
        Some(true)
    }
}

/// The greatest number that divides both.
pub(crate) fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads what [`narrow`] wrote, without the decimals: the first `most` numbers of `count`, to be divided by `power`.
fn take_narrow(from: &mut Cursor<'_>, count: usize, most: usize, power: f64) -> Option<Vec<f64>> {
    let how = from.u8()?;
    let first = if how & DIFFERENCES != 0 { Some(from.signed()?) } else { None };
    let (least, unit) = (from.signed()?, from.varint()?);
    let skipped = usize::from(first.is_some());
    let narrow = Narrow { first, least, unit, power };
    let (count, most) = (count.checked_sub(skipped)?, most.saturating_sub(skipped));
    match how & !DIFFERENCES {
        1 => narrow.take::<u8>(from.0, count, most),
        2 => narrow.take::<u16>(from.0, count, most),
        4 => narrow.take::<u32>(from.0, count, most),
        _ => None,
    }
}

/// How narrow numbers become values.
struct Narrow {
    /// The first of all, if the rest are differences.
    first: Option<i64>,
    least: i64,
    unit: u64,
    power: f64,
}

impl Narrow {
    fn take<T: Number + Into<u64>>(&self, packed: &[u8], count: usize, most: usize) -> Option<Vec<f64>> {
        let mut numbers = vec![T::default(); most.next_multiple_of(BATCH).min(count)];
        unpack(packed, count, &mut numbers)?;
        let numbers = numbers.iter().take(most).copied();
        let numbers = numbers.map(|number| self.least.wrapping_add(number.into().wrapping_mul(self.unit) as i64));
        let mut values = Vec::with_capacity(most + 1);
        match self.first {
            None => values.extend(numbers.map(|number| number as f64)),
            Some(mut last) => {
                values.push(last as f64);
                values.extend(numbers.map(|difference| {
                    last = last.wrapping_add(difference);
                    last as f64
                }));
            }
        }
        // Most are whole.
        if self.power != 1.0 {
            values.iter_mut().for_each(|value| *value /= self.power);
        }
        Some(values)
    }
}

/// Reads the first `most` of `count` values that are all of `from`, or some more; `None` on bytes that nobody wrote.
pub(crate) fn take_values(mut from: Cursor<'_>, count: usize, most: usize) -> Option<Vec<f64>> {
    let mut patches = Vec::new();
    let mut form = from.u8()?;
    if form == PATCHED {
        let mut at = 0_usize;
        for _ in 0..from.varint()? {
            at = at.checked_add(usize::try_from(from.varint()?).ok()?).filter(|at| *at < count)?;
            patches.push((at, f64::from_bits(from.varint()?.swap_bytes())));
        }
        form = from.u8()?;
    }
    let most = most.min(count);
    let some = most.next_multiple_of(BATCH).min(count);
    let whole = |packed: &[u8]| {
        let mut whole = vec![0_i64; some];
        unpack(packed, count, &mut whole)?;
        Some(whole)
    };
    let unscale = |whole: Vec<i64>, decimals: u8| {
        let power = *POWERS.get(usize::from(decimals))?;
        Some(whole.into_iter().map(|whole| whole as f64 / power).collect())
    };
    let mut values: Vec<f64> = match form {
        CONSTANT => vec![f64::from_bits(from.varint()?.swap_bytes()); count],
        FLOATS => {
            let mut values = vec![0_f64; some];
            unpack(from.0, count, &mut values)?;
            values
        }
        WHOLE => whole(from.0)?.into_iter().map(|whole| whole as f64).collect(),
        SCALED => {
            let decimals = from.u8()?;
            unscale(whole(from.0)?, decimals)?
        }
        SHORT => {
            let decimals = from.u8()?;
            unscale(take_short(&mut from, count)?, decimals)?
        }
        NARROW => {
            let power = *POWERS.get(usize::from(from.u8()?))?;
            take_narrow(&mut from, count, most, power)?
        }
        SPARSE => {
            let decimals = from.u8()?;
            unscale(take_sparse(&mut from, count)?, decimals)?
        }
        _ => return None,
    };
    let known = values.len();
    patches.into_iter().filter(|(at, _)| *at < known).for_each(|(at, value)| values[at] = value);
    Some(values)
}

fn take_sparse(from: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let mut last = from.signed()?;
    let mut numbers = vec![last];
    while !from.0.is_empty() {
        let same = usize::try_from(from.varint()?).ok()?;
        let at = numbers.len().checked_add(same).filter(|at| *at < count)?;
        numbers.resize(at, last);
        last = last.wrapping_add(from.signed()?);
        numbers.push(last);
    }
    numbers.resize(count, last);
    Some(numbers)
}

/// Adds whole numbers as the rest of `out`; their number is kept elsewhere. `None` if they cannot be packed.
pub(crate) fn put_whole(out: &mut Vec<u8>, numbers: &[i64], effort: Effort) -> Option<()> {
    let mut short = Vec::new();
    if numbers.len() <= SHORT_MAX || numbers.iter().all(|number| *number == numbers[0]) {
        put_short(&mut short, numbers);
        if short.len() <= RUNS_CHEAP {
            out.extend_from_slice(&short);
            return Some(());
        }
    }
    let packed = pack(numbers, effort)?;
    if short.is_empty() || packed.len() < short.len() {
        out.push(PACKED);
        out.extend_from_slice(&packed);
    } else {
        out.extend_from_slice(&short);
    }
    Some(())
}

/// Reads `count` whole numbers that are all of `from`; `None` on bytes that nobody wrote.
pub(crate) fn take_whole(mut from: Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    if *from.0.first()? != PACKED {
        return take_short(&mut from, count);
    }
    let mut numbers = vec![0_i64; count];
    unpack(&from.0[1..], count, &mut numbers)?;
    Some(numbers)
}

/// Differences, or differences of those, whichever is shorter; nothing more where all further ones are zero.
fn put_short(out: &mut Vec<u8>, numbers: &[i64]) {
    let spell = |form: u8| {
        let (mut spelled, mut last, mut step) = (vec![form], 0_i64, 0_i64);
        let mut end = 1;
        for number in numbers {
            let difference = number.wrapping_sub(last);
            put_signed(&mut spelled, difference.wrapping_sub(step));
            if difference != step {
                end = spelled.len();
            }
            last = *number;
            if form == STEPS_OF_STEPS {
                step = difference;
            }
        }
        spelled.truncate(end);
        spelled
    };
    let (steps, of_steps) = (spell(STEPS), spell(STEPS_OF_STEPS));
    out.extend_from_slice(if of_steps.len() < steps.len() { &of_steps } else { &steps });
}

fn take_short(from: &mut Cursor<'_>, count: usize) -> Option<Vec<i64>> {
    let form = from.u8().filter(|form| [STEPS, STEPS_OF_STEPS].contains(form))?;
    let (mut numbers, mut last, mut step) = (Vec::with_capacity(count), 0_i64, 0_i64);
    for _ in 0..count {
        let change = if from.0.is_empty() { 0 } else { from.signed()? };
        let difference = change.wrapping_add(step);
        last = last.wrapping_add(difference);
        numbers.push(last);
        if form == STEPS_OF_STEPS {
            step = difference;
        }
    }
    Some(numbers)
}

/// A part with its length before it.
pub(crate) fn put_sized(out: &mut Vec<u8>, part: &[u8]) {
    put_varint(out, part.len() as u64);
    out.extend_from_slice(part);
}

/// Reads a part that [`put_sized`] wrote.
pub(crate) fn take_sized<'a>(from: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = usize::try_from(from.varint()?).ok()?;
    from.take(len)
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| value.to_bits() == values[0].to_bits())
}

/// A value as a whole number, if it is one to the last bit: most counters are.
pub(crate) fn as_whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    (value.abs() <= WHOLE_MAX && (whole as f64).to_bits() == value.to_bits()).then_some(whole)
}

/// Powers of ten, which as floats are exact.
const POWERS: [f64; DECIMALS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A value times a power of ten, if dividing gives it back to the last bit: the nearest float of a decimal always does.
pub(crate) fn scaled(value: f64, decimals: usize) -> Option<i64> {
    let number = (value * POWERS[decimals]).round();
    let whole = number as i64;
    let exact = number.abs() <= WHOLE_MAX && (whole as f64 / POWERS[decimals]).to_bits() == value.to_bits();
    exact.then_some(whole)
}

/// What [`scaled`] took, as a value again; `None` if it is too big for that.
pub(crate) fn unscaled(whole: i64, decimals: usize) -> Option<f64> {
    let value = whole as f64 / POWERS.get(decimals)?;
    (whole.unsigned_abs() as f64 <= WHOLE_MAX).then_some(value)
}

/// How many decimals the values have at most; `None` if they are no decimals.
pub(crate) fn decimals(values: impl IntoIterator<Item = f64>) -> Option<usize> {
    let mut decimals = 0;
    for value in values {
        while scaled(value, decimals).is_none() {
            decimals += 1;
            if decimals > DECIMALS_MAX {
                return None;
            }
        }
    }
    Some(decimals)
}

fn scale(values: &[f64], decimals: usize) -> Option<Vec<i64>> {
    values.iter().map(|value| scaled(*value, decimals)).collect()
}

fn pack<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    pack_by(numbers, ChunkConfig::default(), effort)
}

/// Where `pco` need not look for what numbers have in common.
fn pack_plain<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    let mut config = ChunkConfig::default().with_mode_spec(ModeSpec::Classic).with_delta_spec(DeltaSpec::NoOp);
    config.enable_8_bit = true;
    pack_by(numbers, config, effort)
}

fn pack_by<T: Number>(numbers: &[T], config: ChunkConfig, effort: Effort) -> Option<Vec<u8>> {
    let level = if effort == Effort::Quick { 4 } else { 8 };
    // One page, however many numbers there are.
    let paging = PagingSpec::Exact(vec![numbers.len()]);
    let config = config.with_compression_level(level).with_paging_spec(paging);
    let mut out = Vec::new();
    let file = FileCompressor::default();
    file.write_header(&mut out).ok()?;
    let mut chunk = file.chunk_compressor(numbers, &config).ok()?;
    chunk.write_meta(&mut out).ok()?;
    chunk.write_page(0, &mut out).ok()?;
    Some(out)
}

/// Reads the first numbers of `count`: all, or some multiple of [`BATCH`].
fn unpack<T: Number>(bytes: &[u8], count: usize, numbers: &mut [T]) -> Option<()> {
    let (file, rest) = FileDecompressor::new(bytes).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor(rest, count).ok()?;
    let read = page.read(numbers).ok()?;
    (read.n_processed == numbers.len()).then_some(())
}
