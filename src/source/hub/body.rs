//! Bodies of answers, whose servers may be slow without ever being silent.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use ureq::BodyReader;

/// Bytes per second that a server must send on average, or the download counts as stalled.
const MIN_PACE: u64 = 1 << 10;

/// Body of an answer. Reading fails when the server sends fewer than [`MIN_PACE`] bytes per second.
pub(super) struct PacedBody<R = BodyReader<'static>> {
    body: R,
    /// Time over which the pace is averaged: that for which a connection may be silent.
    window: Duration,
    /// Time spent on reads of this window, and the bytes that they returned. A slow disk doesn't count.
    waited: Duration,
    received: u64,
}

impl<R: Read> PacedBody<R> {
    pub(super) fn new(body: R, window: Duration) -> Self {
        Self { body, window, waited: Duration::ZERO, received: 0 }
    }

    /// Adds a read to the window.
    fn count(&mut self, bytes: usize, waited: Duration) -> io::Result<()> {
        self.received += bytes as u64;
        self.waited += waited;
        if bytes == 0 || self.waited < self.window {
            return Ok(());
        }
        if (self.received as f64) < MIN_PACE as f64 * self.waited.as_secs_f64() {
            let problem = format!("the server sends less than {MIN_PACE} bytes a second");
            return Err(io::Error::new(ErrorKind::TimedOut, problem));
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }
}

impl<R: Read> Read for PacedBody<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let bytes = self.body.read(buffer)?;
        self.count(bytes, begun.elapsed())?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts reads of these bytes, a second each, and returns the index of the read that fails.
    fn stalls(reads: &[usize]) -> Option<usize> {
        let mut body = PacedBody::new(io::empty(), Duration::from_secs(10));
        reads.iter().position(|bytes| body.count(*bytes, Duration::from_secs(1)).is_err())
    }

    #[test]
    fn a_body_stalls_below_the_pace_over_a_whole_window() {
        let pace = MIN_PACE as usize;
        assert_eq!(stalls(&[1; 30]), Some(9));
        assert_eq!(stalls(&[pace; 30]), None);
        assert_eq!(stalls(&[pace - 1; 30]), Some(9));
        // One burst is enough for its window, and for no other.
        assert_eq!(stalls(&[&[1; 9][..], &[10 * pace], &[1; 10]].concat()), Some(19));
        // The end of the body is no stall.
        assert_eq!(stalls(&[&[1; 9][..], &[0]].concat()), None);
    }
}
