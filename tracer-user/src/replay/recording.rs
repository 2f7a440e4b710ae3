//! One recorded stream: a file or standard input, line by line.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::{ReplayError, fault::Fault, line::Parser};
use crate::{files, model::Event};

/// The longest line that is read: tracer's own are a hundredth of it.
const MAX_LINE: usize = 1 << 20;
/// How much is read at a time.
const BUFFER: usize = 1 << 18;

/// A recorded stream, being read.
pub struct Recording {
    name: String,
    reader: BufReader<Box<dyn Read + Send>>,
    parser: Parser,
    /// The line, where it does not lie in the reader's buffer as a whole.
    split: Vec<u8>,
    /// Number of the line that was read last, from 1.
    line: u64,
    events: u64,
    skip_bad: bool,
    skipped: u64,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("name", &self.name)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens `path`, or standard input if it is `-`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, skip_bad: bool) -> Result<Self, ReplayError> {
        if path.as_os_str() == "-" {
            return Ok(Self::new("standard input", Box::new(io::stdin()), skip_bad));
        }
        let name = path.display().to_string();
        let file = files::open_recording(path)?;
        Ok(Self::new(&name, Box::new(file), skip_bad))
    }

    /// What `reader` gives, under a name for errors.
    pub fn new(name: &str, reader: Box<dyn Read + Send>, skip_bad: bool) -> Self {
        Self {
            name: name.to_owned(),
            reader: BufReader::with_capacity(BUFFER, reader),
            parser: Parser::default(),
            split: Vec::new(),
            line: 0,
            events: 0,
            skip_bad,
            skipped: 0,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many lines were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the rest of the next line has not been read yet.
    pub fn may_wait(&self) -> bool {
        memchr::memchr(b'\n', self.reader.buffer()).is_none()
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// If it cannot be read, has a line that is none of the stream, or has no event at all.
    pub fn next_event(&mut self) -> Result<Option<Event>, ReplayError> {
        loop {
            let Some(parsed) = self.parse()? else {
                return if self.events == 0 && self.skipped == 0 {
                    Err(ReplayError::Empty {
                        name: self.name.clone(),
                    })
                } else {
                    Ok(None)
                };
            };
            match parsed {
                Ok(Some(event)) => {
                    self.events += 1;
                    return Ok(Some(event));
                }
                // An empty line, or a kind of event that a later tracer tells.
                Ok(None) => {}
                Err(_) if self.skip_bad => self.skipped += 1,
                Err(fault) => {
                    return Err(ReplayError::Line {
                        name: self.name.clone(),
                        line: self.line,
                        fault,
                    });
                }
            }
        }
    }

    /// Reads and understands one line; none at the end.
    fn parse(&mut self) -> Result<Option<Result<Option<Event>, Fault>>, ReplayError> {
        let failed = |line, name: &str, source| ReplayError::Read {
            name: name.to_owned(),
            line,
            source,
        };
        self.line += 1;
        self.split.clear();
        let mut too_long = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(self.line, &self.name, error)),
            };
            if available.is_empty() {
                return Ok(match (too_long, self.split.is_empty()) {
                    (true, _) => Some(Err(Fault::TooLong(MAX_LINE))),
                    (false, true) => None,
                    // The last line of a recording ends like the others.
                    (false, false) => Some(match self.parser.parse(&self.split) {
                        Err(Fault::Json(_)) => Err(Fault::CutOff),
                        parsed => parsed,
                    }),
                });
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.unwrap_or(available.len());
            if self.split.is_empty() && end.is_some() && taken <= MAX_LINE && !too_long {
                let parsed = self.parser.parse(&available[..taken]);
                self.reader.consume(taken + 1);
                return Ok(Some(parsed));
            }
            too_long |= self.split.len() + taken > MAX_LINE;
            if !too_long {
                self.split.extend_from_slice(&available[..taken]);
            }
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(match too_long {
                    true => Err(Fault::TooLong(MAX_LINE)),
                    false => self.parser.parse(&self.split),
                }));
            }
        }
    }
}
