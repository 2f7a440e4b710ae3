//! One node with its clients on the left and its servers on the right, and the walk from node to
//! node. The way is remembered, so cycles lead nowhere but on, and back is always the way one came.

use std::sync::Arc;

use ratatui_core::layout::Rect;

use super::{
    facts::{EdgeKey, Key, Map, Subject, role, short_name},
    list::List,
    numbers,
    paint::{Painter, Side, below, from, line},
    theme::{Tone, sign, tone},
};
use crate::model::EdgeState;

/// Steps that are remembered; who goes further forgets the first ones.
const MOST_STEPS: usize = 1_000;

/// What the arrow keys choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Column {
    Clients,
    #[default]
    Node,
    Servers,
}

/// The walk.
#[derive(Debug)]
pub(super) struct Focus {
    at: Place,
    /// Where it was before, oldest first.
    way: Vec<Place>,
    /// Edges to the clients.
    clients: List,
    /// Edges to the servers.
    servers: List,
    /// The node in the snapshot.
    index: usize,
}

/// A node, and what was chosen there.
#[derive(Clone, Debug)]
struct Place {
    node: Arc<str>,
    column: Column,
    client: Option<EdgeKey>,
    server: Option<EdgeKey>,
}

impl Focus {
    /// Begins at a node. Chooses `edge` beside it, if one is given.
    pub(super) fn new(map: &Map, node: usize, edge: Option<usize>) -> Self {
        let key = edge.map(|edge| map.edge_key(edge));
        let mut focus = Self {
            at: Place {
                node: Arc::clone(&map.node(node).0.id),
                column: if key.is_some() {
                    Column::Servers
                } else {
                    Column::Node
                },
                client: None,
                server: key,
            },
            way: Vec::new(),
            clients: List::default(),
            servers: List::default(),
            index: node,
        };
        focus.arrive(map, node);
        focus
    }

    /// Finds its place in a new snapshot. If its node is gone, goes back to one that is there;
    /// false if there is none.
    pub(super) fn follow(&mut self, map: &Map) -> bool {
        loop {
            if let Some(index) = map.find_node(&self.at.node) {
                self.remember();
                self.fill(map, index);
                return true;
            }
            match self.way.pop() {
                Some(before) => {
                    self.at = before;
                    self.forget();
                }
                None => return false,
            }
        }
    }

    /// What is chosen.
    pub(super) fn subject(&self) -> Subject {
        let list = match self.at.column {
            Column::Clients => &self.clients,
            Column::Node => return Subject::Node(self.index),
            Column::Servers => &self.servers,
        };
        list.chosen()
            .map_or(Subject::Node(self.index), Subject::Edge)
    }

    /// The node in the middle.
    #[cfg(test)]
    pub(super) fn node(&self) -> usize {
        self.index
    }

    /// Moves the choice, if there is one.
    pub(super) fn choose(&mut self, map: &Map, how: impl Fn(&mut List)) {
        let list = match self.at.column {
            Column::Clients => &mut self.clients,
            Column::Node => return,
            Column::Servers => &mut self.servers,
        };
        how(list);
        list.want(list.chosen().map(|edge| map.key(Subject::Edge(edge))));
    }

    /// One to the left: from the servers to the node, to its clients, to the chosen one of these.
    pub(super) fn left(&mut self, map: &Map) {
        match self.at.column {
            Column::Servers => self.at.column = Column::Node,
            Column::Node if self.clients.chosen().is_some() => self.at.column = Column::Clients,
            Column::Node => {}
            Column::Clients => {
                if let Some(edge) = self.clients.chosen() {
                    self.walk(map, map.edge(edge).0.client, edge, Column::Clients);
                }
            }
        }
    }

    /// One to the right: from the clients to the node, to its servers, to the chosen one of these.
    pub(super) fn right(&mut self, map: &Map) {
        match self.at.column {
            Column::Clients => self.at.column = Column::Node,
            Column::Node if self.servers.chosen().is_some() => self.at.column = Column::Servers,
            Column::Node => {}
            Column::Servers => {
                if let Some(edge) = self.servers.chosen() {
                    self.walk(map, map.edge(edge).0.server, edge, Column::Servers);
                }
            }
        }
    }

    /// Walks to what is chosen; false if that is the node itself.
    pub(super) fn enter(&mut self, map: &Map) -> bool {
        match self.at.column {
            Column::Clients => self.left(map),
            Column::Servers => self.right(map),
            Column::Node => return false,
        }
        true
    }

    /// Back to where it was before; false if it was nowhere.
    pub(super) fn back(&mut self, map: &Map) -> bool {
        while let Some(before) = self.way.pop() {
            self.at = before;
            self.forget();
            if let Some(index) = map.find_node(&self.at.node) {
                self.fill(map, index);
                return true;
            }
        }
        false
    }

    fn walk(&mut self, map: &Map, to: usize, over: usize, column: Column) {
        if to == self.index {
            return;
        }
        self.remember();
        if self.way.len() >= MOST_STEPS {
            self.way.remove(0);
        }
        let key = Some(map.edge_key(over));
        let (client, server) = match column {
            // There, the edge one came over is on the other side.
            Column::Clients => (None, key),
            _ => (key, None),
        };
        let there = Place {
            node: Arc::clone(&map.node(to).0.id),
            column,
            client,
            server,
        };
        self.way.push(std::mem::replace(&mut self.at, there));
        self.forget();
        self.arrive(map, to);
    }

    fn arrive(&mut self, map: &Map, node: usize) {
        self.fill(map, node);
        // So that who walks on in one direction needs one key a step.
        let here = match self.at.column {
            Column::Clients => self.clients.chosen(),
            Column::Servers => self.servers.chosen(),
            Column::Node => None,
        };
        if here.is_none() {
            self.at.column = Column::Node;
        }
    }

    /// Takes the choices of the place into the lists, which are new ones.
    fn forget(&mut self) {
        self.clients = List::default();
        self.servers = List::default();
    }

    /// Takes what is chosen in the lists to the place.
    fn remember(&mut self) {
        let key = |list: &List| match list.wanted() {
            Some(Key::Edge(key)) => Some(key.clone()),
            _ => None,
        };
        self.at.client = key(&self.clients);
        self.at.server = key(&self.servers);
    }

    fn fill(&mut self, map: &Map, index: usize) {
        self.index = index;
        let facts = map.node(index).1;
        for (list, edges, wanted) in [
            (&mut self.clients, &facts.incoming, self.at.client.clone()),
            (&mut self.servers, &facts.outgoing, self.at.server.clone()),
        ] {
            let found = wanted.and_then(|key| map.find(&Key::Edge(key)));
            list.fill(edges.clone(), found);
            list.want(list.chosen().map(|edge| map.key(Subject::Edge(edge))));
        }
        let gone = match self.at.column {
            Column::Clients => self.clients.chosen().is_none(),
            Column::Servers => self.servers.chosen().is_none(),
            Column::Node => false,
        };
        if gone {
            self.at.column = Column::Node;
        }
    }

    /// Draws the three columns.
    pub(super) fn draw(&mut self, painter: &mut Painter<'_>, place: Rect, map: &Map) {
        let side = place.width * 3 / 8;
        let middle = (place.width - 2 * side).saturating_sub(1);
        let left = Rect {
            width: side,
            ..place
        };
        let centre = Rect {
            width: middle,
            ..from(place, side)
        };
        let right = from(place, side + middle + 1);
        let here = self.at.column;
        draw_edges(
            painter,
            left,
            map,
            &mut self.clients,
            true,
            here == Column::Clients,
        );
        self.draw_node(painter, centre, map, here == Column::Node);
        draw_edges(
            painter,
            right,
            map,
            &mut self.servers,
            false,
            here == Column::Servers,
        );
    }

    fn draw_node(&self, painter: &mut Painter<'_>, place: Rect, map: &Map, here: bool) {
        painter.fence(place);
        let end = from(place, place.width.saturating_sub(1));
        painter.fence(end);
        let inner = Rect {
            width: place.width.saturating_sub(3),
            ..from(place, 2)
        };
        let (node, facts) = map.node(self.index);
        let head = line(inner, 0);
        let mark = if here { "> " } else { "  " };
        painter.text(head, mark, Tone::Head);
        painter.text(from(head, 2), short_name(node), Tone::Head);
        if here {
            painter.choose(head);
        }
        let state = facts.state.unwrap_or(EdgeState::Ok);
        let what = match role(node) {
            "" => node.kind_word().to_owned(),
            role => format!("{} {role}", node.kind_word()),
        };
        let host = node.host.as_ref().map(|host| format!("on {}", host.name));
        let ports: Vec<String> = node
            .listeners
            .iter()
            .map(|at| format!(":{}", at.port))
            .collect();
        let ports = if ports.is_empty() {
            String::new()
        } else {
            format!("listens {}", ports.join(" "))
        };
        let live = format!("{} live", numbers::count(facts.live));
        let rate = format!("{} conn/s", numbers::rate(facts.rate));
        let failed = match facts.failures {
            0 => String::new(),
            failures => format!("{} {} failed", sign(state), numbers::count(failures)),
        };
        let lines = [
            (what, Tone::Plain),
            (host.unwrap_or_default(), Tone::Plain),
            (ports, Tone::Plain),
            (live, Tone::Plain),
            (rate, Tone::Plain),
            (failed, tone(state)),
        ];
        let lines = lines.iter().filter(|(text, _)| !text.is_empty());
        for (row, (text, tone)) in (1..).zip(lines) {
            painter.text(from(line(inner, row), 2), text, *tone);
        }
    }
}

fn draw_edges(
    painter: &mut Painter<'_>,
    place: Rect,
    map: &Map,
    list: &mut List,
    clients: bool,
    here: bool,
) {
    let place = Rect {
        width: place.width.saturating_sub(1),
        ..place
    };
    let title = if clients {
        "← CLIENTS"
    } else {
        "SERVERS →"
    };
    let count = list.order().len();
    let (left, right) = (line(place, 0), line(place, 0));
    painter.text(
        left,
        &format!("{title} {}", numbers::count(count as u64)),
        Tone::Head,
    );
    if place.width >= 34 {
        painter.aligned(right, "live conn/s", Side::Right, Tone::Faint);
    } else {
        painter.aligned(right, "live", Side::Right, Tone::Faint);
    }
    let rows = below(place, 1);
    if count == 0 {
        painter.text(from(line(rows, 0), 2), "none seen", Tone::Faint);
    }
    for (row, at) in (0..rows.height).zip(list.fit(usize::from(rows.height))) {
        let index = list.order()[at];
        let place = line(rows, row);
        let (edge, facts) = map.edge(index);
        let chosen = at == list.row();
        let mark = match (chosen, here) {
            (true, true) => ">",
            (true, false) => "·",
            (false, _) => " ",
        };
        painter.text(place, mark, Tone::Head);
        painter.text(from(place, 1), sign(edge.state), tone(edge.state));
        let other = if clients {
            map.client(index)
        } else {
            map.server(index)
        };
        let port = edge
            .port
            .map_or(" ↔".to_owned(), |port| format!(" :{port}"));
        let rate = if place.width >= 34 { 7 } else { 0 };
        let room = place.width.saturating_sub(3 + 5 + rate);
        // The name gives way to the port: the port tells edges to one server apart.
        let port_width = u16::try_from(port.chars().count()).unwrap_or(0);
        let name_place = Rect {
            width: room.saturating_sub(port_width),
            ..from(place, 3)
        };
        let used = painter.text(name_place, short_name(other), Tone::Plain);
        let port_place = Rect {
            width: room.saturating_sub(used),
            ..from(place, 3 + used)
        };
        painter.text(port_place, &port, Tone::Plain);
        let live = Rect {
            width: 5.min(place.width),
            ..from(place, 3 + room)
        };
        painter.aligned(live, &numbers::count(edge.live()), Side::Right, Tone::Plain);
        if rate > 0 {
            let place = from(place, 3 + room + 5);
            painter.aligned(place, &numbers::rate(facts.rate), Side::Right, Tone::Plain);
        }
        if here && chosen {
            painter.choose(place);
        }
    }
}
