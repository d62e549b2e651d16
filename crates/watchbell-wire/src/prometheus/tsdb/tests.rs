use std::ops::ControlFlow;
use super::*;
#[test]
fn tmp() {
    let Ok(dir) = std::env::var("TSDB") else { return };
    let dir = std::path::Path::new(&dir);
    let mut out = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !is_block(&name) { continue }
        let index = std::fs::read(path.join("index")).unwrap();
        let meta = BlockMeta::read(&std::fs::read(path.join("meta.json")).unwrap()).unwrap();
        let mut segs = Vec::new();
        for n in 1.. { match std::fs::read(path.join(format!("chunks/{n:06}"))) { Ok(b) => segs.push(b), Err(_) => break } }
        let tomb = std::fs::read(path.join("tombstones")).ok();
        let (block, damage) = Block::open(&index, segs.iter().map(|s| Some(&**s)).collect(), tomb.as_deref()).unwrap();
        assert!(damage.is_empty());
        let (mut series, mut samples, mut hist) = (0, 0, 0);
        let mut bad = Vec::new();
        let _ = block.each(i64::MIN, i64::MAX, &mut |d| bad.push(d), &mut |s| { series += 1; samples += s.samples.len(); hist += s.histograms.len();
            for h in &s.histograms { h.histogram.check().unwrap(); }
            ControlFlow::Continue(()) });
        println!("{name} {meta:?} series {series} samples {samples} hist {hist} damage {bad:?}");
    }
    let mut names: std::collections::HashMap<u64, watchbell_model::Labels> = Default::default();
    let (mut samples, mut hist, mut unk, mut ex, mut meta) = (0,0,0,0,0);
    let mut files: Vec<_> = std::fs::read_dir(dir.join("wal")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    if let Some(cp) = std::fs::read_dir(dir.join("wal")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).max() {
        let mut c: Vec<_> = std::fs::read_dir(cp).unwrap().map(|e| e.unwrap().path()).collect(); c.sort(); c.extend(files); files = c;
    }
    for f in files {
        let b = std::fs::read(&f).unwrap();
        wal::each_record(&f.display().to_string(), &b, &mut |d| println!("{d}"), &mut |r| match decode_record(r).unwrap() {
            Record::Series(s) => names.extend(s),
            Record::Samples(s) => { samples += s.len(); unk += s.iter().filter(|s| !names.contains_key(&s.0)).count(); }
            Record::Histograms(s) => { hist += s.len(); for (_, h) in &s { h.histogram.check().unwrap(); } }
            Record::Exemplars(e) => ex += e.len(),
            Record::Metadata(e) => meta += e.len(),
            o => println!("{o:?}"),
        });
    }
    println!("wal series {} samples {samples} hist {hist} unknown {unk} ex {ex} meta {meta}", names.len());
    for entry in std::fs::read_dir(dir.join("chunks_head")).unwrap() {
        let path = entry.unwrap().path();
        let b = std::fs::read(&path).unwrap();
        let (mut n, mut s) = (0, 0);
        for c in HeadChunks::open("head", &b).unwrap() { let c = c.unwrap(); n += 1; s += c.samples.len(); if !names.contains_key(&c.series) { println!("unknown {}", c.series) } }
        println!("{} chunks {n} samples {s}", path.display());
    }
    let _ = out.pop();
}
