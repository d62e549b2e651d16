//! Operators between two operands.

use std::cell::RefCell;

use watchbell_model::Labels;

use super::EvalError;
use super::column::{Column, Columns, Grid, absent, is_present, same_labels, without_metadata};
use super::evaluator::{Evaluated, Evaluator, filter_map, map};
use super::keys::Keys;
use super::mixed::{self, Operand};
use super::note::Note;
use crate::promql::{BinaryOp, Cardinality, Expr, Matching, TextSpan};

impl Evaluator<'_> {
    /// An operator at every step.
    pub(super) fn binary(
        &self,
        (op, span): (BinaryOp, TextSpan),
        return_bool: bool,
        matching: &Matching,
        left: &Expr,
        right: &Expr,
        grid: &Grid,
    ) -> Result<Evaluated, EvalError> {
        let left = self.eval(left, grid)?;
        let right = self.eval(right, grid)?;
        Ok(match (left, right) {
            (Evaluated::Scalar(_), Evaluated::Scalar(_)) if op.is_trim() => {
                return Err(EvalError::Type(format!("operator {:?} not allowed for Scalar operations", op.as_str())));
            }
            (Evaluated::Scalar(mut left), Evaluated::Scalar(right)) => {
                for (left, right) in left.iter_mut().zip(right) {
                    *left =
                        if op.is_comparison() { truth(compare(op, *left, right)) } else { number(op, *left, right) };
                }
                Evaluated::Scalar(left)
            }
            (Evaluated::Vector(columns), Evaluated::Scalar(scalar)) => {
                Evaluated::Vector(self.with_scalar((op, span), return_bool, columns, &scalar, false))
            }
            (Evaluated::Scalar(scalar), Evaluated::Vector(columns)) => {
                Evaluated::Vector(self.with_scalar((op, span), return_bool, columns, &scalar, true))
            }
            (Evaluated::Vector(left), Evaluated::Vector(right)) => {
                let count = grid.count;
                Evaluated::Vector(match op {
                    BinaryOp::And => set(left, &right, matching, count, true),
                    BinaryOp::Unless => set(left, &right, matching, count, false),
                    BinaryOp::Or => or(left, right, matching, count)?,
                    _ => {
                        self.charge(left.len().max(right.len()).saturating_mul(count))?;
                        let join = Join { op, return_bool, matching, count, span, notes: RefCell::default() };
                        let joined = join.join(left, right)?;
                        join.notes.into_inner().into_iter().for_each(|note| self.note(note));
                        joined
                    }
                })
            }
            _ => return Err(EvalError::Type(format!("`{}` cannot work on a string", op.as_str()))),
        })
    }
}

/// Arithmetic on two numbers.
pub(super) fn number(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => truth(compare(op, left, right)),
    }
}

fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::AtMost => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::AtLeast => left >= right,
        _ => false,
    }
}

fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// What an operator gives for a pair: a number, or for a comparison that filters the left value or nothing.
fn element(op: BinaryOp, return_bool: bool, left: f64, right: f64, kept: f64) -> Option<f64> {
    if !op.is_comparison() {
        return Some(number(op, left, right));
    }
    let holds = compare(op, left, right);
    if return_bool { Some(truth(holds)) } else { holds.then_some(kept) }
}

impl Evaluator<'_> {
    fn with_scalar(
        &self,
        (op, span): (BinaryOp, TextSpan),
        return_bool: bool,
        mut columns: Vec<Column>,
        scalar: &[f64],
        scalar_first: bool,
    ) -> Vec<Column> {
        for column in &mut columns {
            if op.is_trim() && column.values.iter().any(|value| is_present(*value)) {
                self.note(mixed::incompatible(op, ["float", "float"], span));
                column.values.fill(absent());
            }
            for (step, histogram) in std::mem::take(&mut column.histograms).into_iter().enumerate() {
                let Some(histogram) = histogram else { continue };
                let (value, number) = (Operand::Histogram(&histogram), Operand::Number(scalar[step]));
                let (left, right) = if scalar_first { (number, value) } else { (value, number) };
                match mixed::element((op, span), left, right, &mut |note| self.note(note)) {
                    Some(_) if return_bool => column.values[step] = 1.0,
                    Some(result) => column.set_histogram(step, result),
                    None => {}
                }
            }
        }
        if op.is_trim() {
            columns.iter_mut().for_each(|column| column.drop_name |= return_bool);
            columns.retain(Column::has_values);
            return columns;
        }
        with_numbers(op, return_bool, columns, scalar, scalar_first)
    }
}

fn with_numbers(
    op: BinaryOp,
    return_bool: bool,
    mut columns: Vec<Column>,
    scalar: &[f64],
    scalar_first: bool,
) -> Vec<Column> {
    let constant = scalar.iter().all(|value| value.to_bits() == scalar[0].to_bits());
    let pair = |value: f64, scalar: f64| if scalar_first { (scalar, value) } else { (value, scalar) };
    for column in &mut columns {
        column.drop_name |= !op.is_comparison() || return_bool;
        if constant && !op.is_comparison() {
            map(&mut column.values, |value| {
                let (left, right) = pair(value, scalar[0]);
                number(op, left, right)
            });
            continue;
        }
        for (value, scalar) in column.values.iter_mut().zip(scalar) {
            filter_map(std::slice::from_mut(value), |value| {
                let (left, right) = pair(value, *scalar);
                element(op, return_bool, left, right, value)
            });
        }
    }
    columns.retain(Column::has_values);
    columns
}

/// Whether a label must be equal for two elements to meet.
fn is_matched(name: &str, matching: &Matching) -> bool {
    let listed = matching.labels.iter().any(|label| label == name);
    if matching.on { listed } else { !listed && name != Labels::NAME }
}

/// At which steps any element that would meet another one is there.
struct Presence<'a> {
    matching: &'a Matching,
    keys: Keys,
    steps: Vec<Vec<bool>>,
}

impl Presence<'_> {
    fn of<'a>(columns: &[Column], matching: &'a Matching, count: usize) -> Presence<'a> {
        let mut found = Presence { matching, keys: Keys::default(), steps: Vec::new() };
        for column in columns {
            let place = found.keys.place(&column.labels, |name| is_matched(name, matching));
            if place == found.steps.len() {
                found.steps.push(vec![false; count]);
            }
            for (at, step) in found.steps[place].iter_mut().enumerate() {
                *step |= column.has(at);
            }
        }
        found
    }

    fn get(&self, labels: &Labels) -> Option<&Vec<bool>> {
        let place = self.keys.find(labels, |name| is_matched(name, self.matching))?;
        Some(&self.steps[place])
    }
}

/// `and`, `unless`: what is left where the other side has (not) a match.
fn set(mut left: Vec<Column>, right: &[Column], matching: &Matching, count: usize, keep: bool) -> Vec<Column> {
    let present = Presence::of(right, matching, count);
    for column in &mut left {
        match present.get(&column.labels) {
            Some(steps) => {
                for (step, present) in steps.iter().enumerate() {
                    if *present != keep {
                        column.clear(step);
                    }
                }
            }
            None if keep => {
                column.values.fill(absent());
                column.histograms.clear();
            }
            None => {}
        }
    }
    left.retain(Column::has_values);
    left
}

/// `or`: what is left, and what is right where the left has no match.
fn or(left: Vec<Column>, right: Vec<Column>, matching: &Matching, count: usize) -> Result<Vec<Column>, EvalError> {
    let present = Presence::of(&left, matching, count);
    let mut union = Columns::default();
    for column in left {
        union.add(column)?;
    }
    for mut column in right {
        if let Some(steps) = present.get(&column.labels) {
            for (step, present) in steps.iter().enumerate() {
                if *present {
                    column.clear(step);
                }
            }
        }
        union.add(column)?;
    }
    Ok(union.finish())
}

/// Arithmetic and comparison between elements that meet.
struct Join<'a> {
    op: BinaryOp,
    return_bool: bool,
    matching: &'a Matching,
    count: usize,
    span: TextSpan,
    notes: RefCell<Vec<Note>>,
}

/// The elements of the side that may have one, and the results made, for one set of matched labels.
#[derive(Default)]
struct Meeting {
    ones: Vec<usize>,
    /// Which of several ones is there at each step; empty when there is only one.
    partner: Vec<Option<usize>>,
    /// At which steps there is a result: one, or with `group_left` and `group_right` one for each set of labels.
    made: Vec<(Labels, Vec<bool>)>,
}

impl Join<'_> {
    fn join(&self, left: Vec<Column>, right: Vec<Column>) -> Result<Vec<Column>, EvalError> {
        // `many` may have several elements for one set of matched labels, `one` may not.
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let is_matched = |name: &str| is_matched(name, self.matching);
        let mut keys = Keys::default();
        let mut meetings: Vec<Meeting> = Vec::new();
        for (at, column) in one.iter().enumerate() {
            let place = keys.place(&column.labels, is_matched);
            if place == meetings.len() {
                meetings.push(Meeting::default());
            }
            meetings[place].ones.push(at);
        }
        let (fill_many, fill_one) = (self.matching.fill_left, self.matching.fill_right);
        if meetings.iter().any(|meeting| meeting.ones.len() > 1) {
            // With nothing to meet at a step, more than one element on the other side is no error.
            let fills = fill_many.is_some() || fill_one.is_some();
            let any_many = if fills { vec![true; self.count] } else { self.any(&many) };
            for (place, meeting) in meetings.iter_mut().enumerate().filter(|(_, meeting)| meeting.ones.len() > 1) {
                meeting.partner = self.partner_by_step(keys.part(place), &meeting.ones, &one, &any_many, swapped)?;
            }
        }

        let mut results = Columns::default();
        for column in &many {
            let place = match fill_one {
                Some(_) => keys.place(&column.labels, is_matched),
                None => match keys.find(&column.labels, is_matched) {
                    Some(place) => place,
                    None => continue,
                },
            };
            if place == meetings.len() {
                meetings.push(Meeting::default());
            }
            let matched = keys.part(place);
            let Meeting { ones, partner, made } = &mut meetings[place];
            for one_at in ones.iter() {
                let meets = |step: usize| match partner.get(step) {
                    Some(partner) => *partner == Some(*one_at),
                    None => one[*one_at].has(step),
                };
                let labels = self.labels(&column.labels, &one[*one_at].labels, matched);
                self.pair((column, &one[*one_at]), labels, meets, swapped, made, &mut results)?;
            }
            if let Some(value) = fill_one {
                let filled = Column::new(matched.clone(), vec![value; self.count]);
                let missing = |step: usize| ones.iter().all(|at| !one[*at].has(step));
                let labels = self.labels(&column.labels, matched, matched);
                self.pair((column, &filled), labels, missing, swapped, made, &mut results)?;
            }
        }
        if let Some(value) = fill_many {
            for (place, meeting) in meetings.iter_mut().enumerate() {
                let matched = keys.part(place);
                let filled = Column::new(matched.clone(), vec![value; self.count]);
                let alone: Vec<bool> =
                    (0..self.count).map(|step| !meeting.made.iter().any(|(_, made)| made[step])).collect();
                for one_at in &meeting.ones {
                    let column = &one[*one_at];
                    let missing = |step: usize| alone[step] && column.has(step);
                    let labels = self.labels(matched, &column.labels, matched);
                    self.pair((&filled, column), labels, missing, swapped, &mut meeting.made, &mut results)?;
                }
            }
        }
        Ok(results.finish())
    }

    fn any(&self, columns: &[Column]) -> Vec<bool> {
        let mut any = vec![false; self.count];
        for column in columns {
            for (step, any) in any.iter_mut().enumerate() {
                *any |= column.has(step);
            }
        }
        any
    }

    /// The only element with a value at each step.
    fn partner_by_step(
        &self,
        signature: &Labels,
        places: &[usize],
        one: &[Column],
        any_many: &[bool],
        swapped: bool,
    ) -> Result<Vec<Option<usize>>, EvalError> {
        let mut partner: Vec<Option<usize>> = vec![None; self.count];
        for place in places {
            for step in (0..self.count).filter(|step| one[*place].has(*step)) {
                let Some(other) = partner[step].replace(*place).filter(|_| any_many[step]) else { continue };
                let mut names = [full(&one[other].labels), full(&one[*place].labels)];
                names.sort();
                let [first, second] = names;
                let side = if swapped { "left" } else { "right" };
                return Err(EvalError::Duplicate(format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: \
                     [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side",
                    full(signature)
                )));
            }
        }
        Ok(partner)
    }

    /// One element of the many side with one of the one side, at the steps where they meet.
    fn pair(
        &self,
        (many, one): (&Column, &Column),
        labels: Labels,
        meets: impl Fn(usize) -> bool,
        swapped: bool,
        made: &mut Vec<(Labels, Vec<bool>)>,
        results: &mut Columns,
    ) -> Result<(), EvalError> {
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let known = made.iter().position(|(have, _)| one_to_one || *have == labels);
        let known = known.unwrap_or_else(|| {
            made.push((labels.clone(), vec![false; self.count]));
            made.len() - 1
        });
        let mut place = None;
        for step in 0..self.count {
            let value = many.values[step];
            if !many.has(step) || !meets(step) {
                continue;
            }
            if many.histogram(step).is_some() || one.histogram(step).is_some() || self.op.is_trim() {
                let (left, right) = if swapped { (one, many) } else { (many, one) };
                let (left, right) = (Operand::of(left, step), Operand::of(right, step));
                let note = &mut |note| self.notes.borrow_mut().push(note);
                let result = mixed::element((self.op, self.span), left, right, note);
                // A comparison that has no meaning has no answer; one that does not hold has.
                let comparable = matches!((left, right), (Operand::Histogram(_), Operand::Histogram(_)))
                    && matches!(self.op, BinaryOp::Equal | BinaryOp::NotEqual);
                if result.is_none() && !comparable {
                    continue;
                }
                self.meet_once(&mut made[known].1[step])?;
                if result.is_none() && !self.return_bool {
                    continue;
                }
                let place = *place.get_or_insert_with(|| results.place(&labels, self.return_bool, self.count));
                match (result, self.return_bool) {
                    (Some(result), false) => results.set_histogram(place, step, result)?,
                    (result, _) => results.set(place, step, truth(result.is_some()))?,
                }
                continue;
            }
            self.meet_once(&mut made[known].1[step])?;
            let other = one.values[step];
            let (left, right) = if swapped { (other, value) } else { (value, other) };
            let Some(result) = element(self.op, self.return_bool, left, right, left) else { continue };
            let place = *place.get_or_insert_with(|| results.place(&labels, self.return_bool, self.count));
            let cell = results.value(place, step);
            if is_present(*cell) {
                return Err(same_labels());
            }
            *cell = result;
        }
        Ok(())
    }

    /// Two elements of the side that may have many must not make the same result.
    fn meet_once(&self, made: &mut bool) -> Result<(), EvalError> {
        if !std::mem::replace(made, true) {
            return Ok(());
        }
        Err(EvalError::Duplicate(match self.matching.cardinality {
            Cardinality::OneToOne => {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".into()
            }
            _ => "multiple matches for labels: grouping labels must ensure unique matches".into(),
        }))
    }

    /// The labels of a result: those of the many side, less what was not matched on, plus what is included.
    fn labels(&self, many: &Labels, one: &Labels, matched: &Labels) -> Labels {
        let matching = self.matching;
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let mut labels = match (self.op.is_comparison(), one_to_one) {
            // What was matched on is all there is, but for the name.
            (false, true) => return without_metadata(matched),
            (false, false) => without_metadata(many),
            (true, true) if matching.on || !matching.labels.is_empty() => {
                many.filtered(|name| matching.labels.iter().any(|label| label == name) == matching.on)
            }
            (true, _) => many.clone(),
        };
        for name in &matching.include {
            labels = labels.with(name, one.get(name).unwrap_or(""));
        }
        labels
    }
}

/// Labels with the name among them: `{__name__="up", job="mail"}`.
fn full(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", crate::promql::quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
