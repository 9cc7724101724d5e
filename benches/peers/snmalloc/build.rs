//! The crate carries the snmalloc release of its own number.

fn main() {
    brkpoint_peer_source::finish(&brkpoint_peer_source::package("snmalloc-sys").version);
}
