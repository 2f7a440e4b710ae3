//! One end of the ledger, held against what was told of it.

use super::{
    life::{Close, Key, Life, Open},
    report::Report,
};
use crate::ledger::{Closer, End};

/// One end, and what was told of it.
pub(super) struct Comparison<'a> {
    key: &'a Key,
    end: &'a End,
    id: &'a str,
    life: &'a Life,
    report: &'a mut Report,
    /// Whether something is not known.
    uncertain: bool,
}

impl<'a> Comparison<'a> {
    /// Compares the two, and puts what differs into the report.
    pub(super) fn of(
        key: &'a Key,
        end: &'a End,
        id: &'a str,
        life: &'a Life,
        report: &'a mut Report,
    ) {
        let mut it = Self {
            key,
            end,
            id,
            life,
            report,
            uncertain: false,
        };
        it.whole();
        for open in &life.opens {
            it.open(open);
        }
        for close in &life.closes {
            it.close(close);
        }
        if life.closes.iter().any(|close| close.found_later) {
            it.report.found_later += 1;
        } else if it.uncertain {
            it.report.uncertain += 1;
        }
    }

    fn is_false(&mut self, class: &'static str) {
        let example = self.show();
        self.report.is_false(class, example);
    }

    fn is_unknown(&mut self, class: &'static str) {
        let example = self.show();
        self.report.is_unknown(class, example);
        self.uncertain = true;
    }

    fn show(&self) -> String {
        let Self {
            key, end, id, life, ..
        } = self;
        format!("{key} id {id}\n        ledger {end:?}\n        got {life:?}")
    }

    /// One beginning and one end.
    fn whole(&mut self) {
        let (opens, closes) = (&self.life.opens, &self.life.closes);
        match opens.len() {
            0 => self.is_false("close without an open of its id"),
            1 => {}
            _ => self.is_false("opened twice"),
        }
        match closes.len() {
            0 => self.is_false("open without a close of its id"),
            1 => {}
            _ => self.is_false("closed twice"),
        }
        let mut keys = opens
            .iter()
            .map(|open| open.key)
            .chain(closes.iter().map(|close| close.key));
        if keys.any(|key| key != *self.key) {
            self.is_false("the same id for different ends");
        }
    }

    fn open(&mut self, open: &Open) {
        self.process(
            "wrong process at the open",
            open.pid,
            &open.evidence,
            &open.kind,
        );
        if self.end.existing {
            if (open.kind.as_str(), open.existing, &open.opened) != ("existing", Some(true), &None)
            {
                self.is_false("an existing connection called new");
            }
            return;
        }
        if open.kind == "existing" {
            // Found by looking, as its beginning was missed.
            self.is_unknown("a new connection called existing");
            if open.opened.is_some() || open.existing != Some(true) {
                self.is_false("more than can be known");
            }
            return;
        }
        if open.existing == Some(true) {
            // Its beginning was missed, and not what came next.
            self.is_unknown("a new connection called existing");
        }
        if open.opened.is_none() {
            self.is_unknown("no opened");
        }
        if open.kind == "connect" && open.took.is_none() {
            self.is_unknown("no connect_ns");
        }
    }

    fn close(&mut self, close: &Close) {
        self.process(
            "wrong process at the close",
            close.pid,
            &close.evidence,
            "close",
        );
        let begun = self.life.opens.first();
        if begun.is_some_and(|open| open.existing != close.existing) {
            self.is_false("existing at one end of its life only");
        }
        if close.found_later {
            self.is_unknown("found later");
            // How it ended is not known, and must not be said.
            if close.sent.or(close.received).is_some() || close.closed_by.is_some() {
                self.is_false("more than can be known");
            }
            return;
        }
        if close.existing == Some(false) && close.lasted.is_none() {
            self.is_unknown("no duration_ns");
        }
        if close.sent != Some(self.end.sent) {
            self.is_false("wrong sent_bytes");
        }
        if close.received != Some(self.end.received) {
            self.is_false("wrong received_bytes");
        }
        if let Some(by) = self.end.closed_by {
            match close.closed_by.as_deref() {
                // The change of state was missed, and with it the error: the process may have
                // taken that since.
                None => self.is_unknown("no closed_by"),
                Some(told) => {
                    if told != by.name() {
                        self.is_false("wrong closed_by");
                    }
                    // The end that resets may or may not be told of its own error.
                    if by == Closer::Remote {
                        self.errno(close.errno.as_deref());
                    }
                }
            }
        }
    }

    /// The error of an end that the other ended. A kernel that has too little room to remember
    /// the other end resets this one when it says its last word, now and then; no process is told,
    /// and no ledger has it.
    fn errno(&mut self, told: Option<&str>) {
        match (told, self.end.reset) {
            (None, false) | (Some("ECONNRESET"), true) => {}
            (Some("ECONNRESET"), false) => self.report.reset_at_last += 1,
            _ => self.is_false("wrong errno"),
        }
    }

    /// Whether a process may stand on an event, given what the evidence says of it.
    fn process(&mut self, class: &'static str, pid: Option<u32>, evidence: &str, kind: &str) {
        let end = self.end;
        let Some(pid) = pid else {
            if evidence == "unknown" {
                self.is_unknown("no process");
            } else {
                self.is_false(class);
            }
            return;
        };
        // Its end was the other one's doing, before this one's process let go of it.
        let is_reset = end.reset && end.closed_by == Some(Closer::Remote);
        let right = match evidence {
            "hook" | "read" if kind == "close" => pid == end.opener || pid == end.closer,
            "hook" => pid == end.opener,
            "listener" => end.listener == Some(pid),
            "scan" => end.existing && pid == end.opener,
            "close" => pid == end.closer,
            _ => false,
        };
        if !right {
            self.is_false(class);
        } else if kind == "close"
            && matches!(evidence, "hook" | "read")
            && pid != end.closer
            && !is_reset
        {
            self.is_unknown("who closed it");
        } else if evidence == "close" && kind != "close" {
            // Nobody saw who opened it: who closed it stands for that.
            self.is_unknown("who opened it");
        }
    }
}
