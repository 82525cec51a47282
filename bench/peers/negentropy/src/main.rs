// Range-based set reconciliation by the negentropy crate: negentropy-peer HERE THERE, two files of items (timestamp u64,
// little-endian, and an id of 32 bytes). What the two sides send each other until the difference is named.
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use std::time::Instant;

const ITEM: usize = 40;

fn read(path: &str) -> NegentropyStorageVector {
    let bytes = std::fs::read(path).unwrap();
    let mut storage = NegentropyStorageVector::with_capacity(bytes.len() / ITEM);
    for item in bytes.chunks_exact(ITEM) {
        let timestamp = u64::from_le_bytes(item[..8].try_into().unwrap());
        storage.insert(timestamp, Id::from_slice(&item[8..]).unwrap()).unwrap();
    }
    storage.seal().unwrap();
    storage
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (here, there) = (read(&paths[0]), read(&paths[1]));
    let started = Instant::now();
    let mut client = Negentropy::borrowed(&here, 0).unwrap();
    let mut server = Negentropy::borrowed(&there, 0).unwrap();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let (mut sent, mut received, mut rounds) = (0, 0, 0);
    let mut question = Some(client.initiate().unwrap());
    while let Some(asked) = question {
        let answer = server.reconcile(&asked).unwrap();
        sent += asked.len();
        received += answer.len();
        rounds += 1;
        question = client.reconcile_with_ids(&answer, &mut have, &mut need).unwrap();
    }
    println!(
        "sent={sent} received={received} questions={rounds} here={} there={} ms={:.1}",
        have.len(),
        need.len(),
        started.elapsed().as_secs_f64() * 1e3
    );
}
