//! Identity of hosts. Two names with one id are a renamed host, or two clones: a renamed host never has both names
//! at the same time.

use std::{collections::HashMap, sync::Arc};

use super::numbers::HostId;
use crate::model::{Host, Timestamp};

/// The intervals in which a host was watched, in order.
pub(super) type Spans = Vec<(Timestamp, Timestamp)>;

/// Maximum of names of clones of a host; further ones are counted.
const MAX_TWINS: usize = 64;

/// The hosts behind numbers. There is one number for each id and name.
#[derive(Debug)]
pub(super) struct Identity {
    /// By number, the number of the same host under its last name.
    last: Vec<usize>,
    /// By number, a unique label.
    labels: Vec<String>,
    /// By number, the names of clones, and how many more there are.
    twins: Vec<(Vec<String>, u64)>,
}

impl Identity {
    /// Of `hosts` that were watched then.
    pub(super) fn of(hosts: &[Arc<Host>], watched: &[Spans]) -> Self {
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, host) in hosts.iter().enumerate() {
            by_id.entry(&host.id).or_default().push(at);
        }
        let mut last: Vec<usize> = (0..hosts.len()).collect();
        let mut twins = vec![(Vec::new(), 0); hosts.len()];
        for same_id in by_id.values().filter(|it| it.len() > 1) {
            let spans = |at: usize| watched.get(at).map_or(&[][..], Vec::as_slice);
            let mut all: Vec<_> = same_id.iter().flat_map(|at| spans(*at)).collect();
            all.sort_unstable();
            let at_once = all.windows(2).any(|two| two[0].1 > two[1].0);
            if at_once {
                let mut in_order = same_id.clone();
                in_order.sort_unstable_by(|one, other| hosts[*one].name.cmp(&hosts[*other].name));
                for at in same_id {
                    let others = in_order.iter().filter(|it| *it != at).take(MAX_TWINS);
                    let others: Vec<_> = others.map(|it| hosts[*it].name.clone()).collect();
                    let cut = same_id.len() - 1 - others.len();
                    twins[*at] = (others, cut as u64);
                }
            } else if let Some(newest) = same_id.iter().max_by_key(|at| spans(**at).last()) {
                same_id.iter().for_each(|at| last[*at] = *newest);
            }
        }
        let labels = labels(hosts, &last);
        Self {
            last,
            labels,
            twins,
        }
    }

    /// The number of the same host under its last name.
    pub(super) fn last(&self, host: HostId) -> HostId {
        HostId::at(self.last[host.index()])
    }

    /// Whether the host has been renamed since: nothing under that number is open any more.
    pub(super) fn is_over(&self, host: HostId) -> bool {
        self.last(host) != host
    }

    /// The numbers of [`last`](Self::last), by number.
    pub(super) fn numbers(&self) -> &[usize] {
        &self.last
    }

    /// A unique label.
    pub(super) fn label(&self, host: HostId) -> &str {
        &self.labels[self.last[host.index()]]
    }

    /// The names of clones, in order, and how many more there are.
    pub(super) fn twins(&self, host: HostId) -> (&[String], u64) {
        let (names, cut) = &self.twins[host.index()];
        (names, *cut)
    }
}

/// Unique labels: names, followed by as much of the ids as is needed.
fn labels(hosts: &[Arc<Host>], last: &[usize]) -> Vec<String> {
    let start = |host: &Host| host.id.chars().take(8).collect::<String>();
    let forms: [fn(&Host, &str) -> String; 3] = [
        |host, _| host.name.clone(),
        |host, start| format!("{}~{start}", host.name),
        |host, _| format!("{}~{}", host.name, host.id),
    ];
    let mut labels = vec![String::new(); hosts.len()];
    let mut open: Vec<usize> = (0..hosts.len()).filter(|at| last[*at] == *at).collect();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for form in forms {
        let mut times: HashMap<String, usize> = HashMap::new();
        for at in &open {
            labels[*at] = form(&hosts[*at], &start(&hosts[*at]));
            *times.entry(labels[*at].clone()).or_default() += 1;
        }
        let is_free = |at: &usize, taken: &HashMap<String, usize>| {
            times[&labels[*at]] == 1 && !taken.contains_key(&labels[*at])
        };
        let (done, left): (Vec<_>, Vec<_>) = open.into_iter().partition(|at| is_free(at, &taken));
        taken.extend(done.into_iter().map(|at| (labels[at].clone(), at)));
        open = left;
    }
    // Names that look like those made here.
    for at in open {
        let mut more = (1_u32..).map(|n| format!("{}~{n}", labels[at]));
        if let Some(free) = more.find(|it| !taken.contains_key(it)) {
            labels[at].clone_from(&free);
            taken.insert(free, at);
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(all: &[(&str, &str)]) -> Vec<Arc<Host>> {
        let host = |(id, name): &(&str, &str)| {
            Arc::new(Host {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
            })
        };
        all.iter().map(host).collect()
    }

    fn spans(all: &[&[(u64, u64)]]) -> Vec<Spans> {
        let at = Timestamp::from_ns;
        let spans = |of: &&[(u64, u64)]| of.iter().map(|(from, to)| (at(*from), at(*to))).collect();
        all.iter().map(spans).collect()
    }

    fn labels_of(hosts: &[Arc<Host>], spans: &[Spans]) -> Vec<String> {
        let identity = Identity::of(hosts, spans);
        let all = (0..hosts.len()).map(HostId::at);
        all.map(|at| identity.label(at).to_owned()).collect()
    }

    #[test]
    fn a_host_that_is_renamed_is_one() {
        let two = hosts(&[("c", "old"), ("c", "new")]);
        for times in [
            spans(&[&[(0, 10)], &[(20, 30)]]),
            spans(&[&[(0, 10)], &[(10, 30)]]),
            // It was called so before, too.
            spans(&[&[(15, 20)], &[(0, 10), (20, 30)]]),
        ] {
            let identity = Identity::of(&two, &times);
            assert_eq!(labels_of(&two, &times), ["new", "new"]);
            assert!(identity.is_over(HostId::at(0)) && !identity.is_over(HostId::at(1)));
            assert!(identity.twins(HostId::at(1)).0.is_empty());
        }
    }

    #[test]
    fn two_names_at_once_are_two_hosts() {
        let two = hosts(&[("c", "web-1"), ("c", "web-2")]);
        for times in [
            spans(&[&[(0, 10)], &[(5, 30)]]),
            spans(&[&[(0, 100)], &[(5, 30)]]),
            // The second time only.
            spans(&[&[(0, 10), (40, 50)], &[(20, 30), (45, 60)]]),
        ] {
            let identity = Identity::of(&two, &times);
            assert_eq!(labels_of(&two, &times), ["web-1", "web-2"]);
            assert_eq!(
                identity.twins(HostId::at(0)),
                (&["web-2".to_owned()][..], 0)
            );
            assert!(!identity.is_over(HostId::at(0)));
        }
    }

    #[test]
    fn of_very_many_hosts_of_one_id_each_tells_of_some() {
        for more in [0, 1] {
            let names: Vec<String> = (0..=MAX_TWINS + more).map(|n| format!("h{n:03}")).collect();
            let all: Vec<_> = names.iter().map(|name| ("c", &**name)).collect();
            let all = hosts(&all);
            let spans = spans(&vec![&[(0, 10)][..]; all.len()]);
            let (twins, cut) = &Identity::of(&all, &spans).twins[0];
            assert_eq!((twins.len(), *cut), (MAX_TWINS, more as u64));
            assert_eq!(*twins, names[1..=MAX_TWINS]);
        }
    }

    #[test]
    fn no_two_hosts_go_by_one_label() {
        let all = hosts(&[
            ("aaaaaaaa-1", "web"),
            ("aaaaaaaa-2", "web"),
            ("bbbbbbbb-1", "web"),
            ("c", "web~bbbbbbbb"),
            ("d", "db"),
            ("e", "web~aaaaaaaa-1"),
        ]);
        let labels = labels_of(&all, &vec![Vec::new(); all.len()]);
        assert_eq!(
            labels,
            [
                "web~aaaaaaaa-1~1",
                "web~aaaaaaaa-2",
                "web~bbbbbbbb-1",
                "web~bbbbbbbb",
                "db",
                "web~aaaaaaaa-1",
            ]
        );
    }
}
