//! What is a secret in arguments, as data: names whose value is one, options of programs, and the
//! shapes of tokens. What is not here is not masked.

/// Words that a name of a secret ends with, also within a longer word: `PGPASSWORD`, `--authToken`.
pub(super) const ENDINGS: [&str; 14] = [
    "accesskey",
    "apikey",
    "authkey",
    "credential",
    "credentials",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sharedkey",
    "token",
];

/// Words that a name of a secret ends with, whole.
pub(super) const WORDS: [&str; 27] = [
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "creds",
    "dbpass",
    "jwt",
    "keypass",
    "masterauth",
    "otp",
    "pass",
    "passin",
    "passout",
    "passwort",
    "pgpass",
    "psk",
    "pw",
    "pwd",
    "requirepass",
    "rootpw",
    "smtppass",
    "sshpass",
    "storepass",
    "truststorepass",
    "userpass",
    "userpwd",
    "webhook",
];

/// Words before a last word `key`: `--secret-key`, `AccountKey`. Their value may be the path of a
/// file, which stays.
pub(super) const KEYS: [&str; 16] = [
    "access",
    "account",
    "admin",
    "api",
    "app",
    "auth",
    "deploy",
    "encryption",
    "license",
    "master",
    "private",
    "secret",
    "shared",
    "signing",
    "storage",
    "subscription",
];

/// Names that are one only in the query of a URL, whole or as the last word.
pub(super) const QUERY: [&str; 8] = [
    "auth",
    "code",
    "hmac",
    "key",
    "session",
    "sid",
    "sig",
    "signature",
];

/// First words of options that no value follows: `--no-password`, `--ask-pass`.
pub(super) const FLAGS: [&str; 14] = [
    "allow", "ask", "disable", "enable", "has", "hide", "need", "no", "prompt", "require", "show",
    "skip", "use", "without",
];

/// Values that are no secrets.
pub(super) const PLAIN: [&str; 20] = [
    "",
    "-",
    "ask",
    "basic",
    "digest",
    "false",
    "md5",
    "no",
    "none",
    "null",
    "off",
    "on",
    "peer",
    "prompt",
    "scram-sha-256",
    "stdin",
    "true",
    "trust",
    "yes",
    super::MASK,
];

/// What a value begins with that says where the secret is.
pub(super) const PLACES: [&str; 5] = ["env:", "fd:", "file:", "file://", "stdin:"];

/// Where the secret is of an option that only some programs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// In the same argument, after the option: `-pSECRET`. Alone it asks the user.
    Attached,
    /// There, or in the next argument: `-a SECRET`.
    Value,
    /// Likewise, after the first of these characters: `-u user:SECRET`.
    After(char),
    /// In the argument so many after this word, without options: `add_user NAME SECRET`.
    Later(usize),
    /// In the last argument.
    Last,
}

/// An option that only some programs have.
#[derive(Debug)]
pub(super) struct Row {
    /// File names of the programs; one that ends in `*` is any that begins so.
    pub(super) programs: &'static [&'static str],
    /// The word that has to come before, if any: `login`.
    pub(super) command: Option<&'static str>,
    /// Whether a command follows the options, which has options of its own.
    pub(super) leads: bool,
    /// The options, or the words that stand for one. An empty one is any argument that is no option.
    pub(super) options: &'static [&'static str],
    /// Where the secret is.
    pub(super) place: Where,
}

const fn row(
    programs: &'static [&'static str],
    options: &'static [&'static str],
    place: Where,
) -> Row {
    Row {
        programs,
        command: None,
        leads: false,
        options,
        place,
    }
}

const REDIS: &[&str] = &[
    "redis-cli",
    "redis-benchmark",
    "redis-server",
    "valkey-cli",
    "valkey-benchmark",
    "valkey-server",
    "keydb-cli",
    "keydb-server",
    "memtier_benchmark",
];

/// Options of programs.
pub(super) const ROWS: &[Row] = &[
    // Databases.
    row(
        &[
            "mysql*",
            "mariadb*",
            "mariabackup",
            "xtrabackup",
            "innobackupex",
        ],
        &["-p"],
        Where::Attached,
    ),
    row(
        &[
            "mycli",
            "mydumper",
            "myloader",
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "mongostat",
            "mongotop",
            "mongofiles",
            "cqlsh",
        ],
        &["-p"],
        Where::Value,
    ),
    row(REDIS, &["-a"], Where::Value),
    row(REDIS, &["auth", "AUTH"], Where::Later(1)),
    row(REDIS, &["auth", "AUTH"], Where::Later(2)),
    row(REDIS, &["requirepass", "masterauth"], Where::Later(1)),
    row(
        &["sqlcmd", "bcp", "osql", "tsql", "freebcp"],
        &["-P"],
        Where::Value,
    ),
    row(
        &["sqlplus", "sqlldr", "sqlcl", "expdp", "impdp", "rman"],
        &[""],
        Where::After('/'),
    ),
    row(&["rabbitmqadmin"], &["-p"], Where::Value),
    row(
        &["rabbitmqctl"],
        &["add_user", "change_password", "authenticate_user"],
        Where::Later(2),
    ),
    row(
        &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"],
        &["-P"],
        Where::Value,
    ),
    // Transfers.
    row(
        &["curl"],
        &["-u", "--user", "-U", "--proxy-user", "-E", "--cert"],
        Where::After(':'),
    ),
    row(&["curl"], &["-b"], Where::Value),
    row(
        &["http", "https", "httpie", "xh", "hey"],
        &["-a", "--auth"],
        Where::After(':'),
    ),
    row(&["ab"], &["-A", "-P"], Where::After(':')),
    row(&["lftp"], &["-u"], Where::After(',')),
    row(
        &["ncftp", "ncftpget", "ncftpput", "twine"],
        &["-p"],
        Where::Value,
    ),
    row(
        &[
            "smbclient",
            "smbget",
            "rpcclient",
            "winexe",
            "smbcacls",
            "net",
        ],
        &["-U", "--user"],
        Where::After('%'),
    ),
    Row {
        programs: &["sshpass"],
        command: None,
        leads: true,
        options: &["-p"],
        place: Where::Value,
    },
    row(&["ssh-keygen"], &["-N", "-P"], Where::Value),
    row(&["xfreerdp*", "wlfreerdp*"], &["/p:"], Where::Attached),
    row(&["rdesktop"], &["-p"], Where::Value),
    // Directories and machines.
    row(&["ldap*"], &["-w"], Where::Value),
    row(&["ldappasswd"], &["-a", "-s"], Where::Value),
    row(&["kadmin", "kadmin.local"], &["-w", "-pw"], Where::Value),
    row(&["ipmitool"], &["-P"], Where::Value),
    row(&["snmp*"], &["-c", "-A", "-X"], Where::Value),
    row(&["useradd", "usermod"], &["-p"], Where::Value),
    row(
        &["htpasswd"],
        &["-b", "-nb", "-bn", "-cb", "-bc", "-nbB", "-bB"],
        Where::Last,
    ),
    row(&["wpa_passphrase"], &["wpa_passphrase"], Where::Later(2)),
    row(
        &["nmcli"],
        &["password", "wifi-sec.psk", "802-11-wireless-security.psk"],
        Where::Later(1),
    ),
    // Registries and clouds.
    Row {
        programs: &[
            "docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "crane", "oc",
            "az", "cf",
        ],
        command: Some("login"),
        leads: false,
        options: &["-p"],
        place: Where::Value,
    },
    row(&["vault"], &["login"], Where::Later(1)),
    row(
        &["aws"],
        &["aws_secret_access_key", "aws_session_token"],
        Where::Later(1),
    ),
    row(&["mc"], &["set"], Where::Later(4)),
    // Archives and ciphers.
    row(&["zip", "unzip"], &["-P"], Where::Value),
    row(
        &["7z", "7za", "7zr", "7zz", "rar", "unrar"],
        &["-p", "-hp"],
        Where::Attached,
    ),
    row(&["openssl"], &["-k", "-K"], Where::Value),
];

/// Letters of options of `curl` that may stand before another in one argument: `-sSu user:SECRET`.
pub(super) const GROUPED: &str = "sSfLkvigIGNOJRq#0123456";

/// What tokens begin with, and how many letters, digits, `_` and `-` follow at least.
pub(super) const TOKENS: &[(&str, usize)] = &[
    ("AIza", 30),
    ("AKIA", 12),
    ("ASIA", 12),
    ("ATATT3", 20),
    ("AGE-SECRET-KEY-1", 20),
    ("PMAK-", 20),
    ("SG.", 20),
    ("dckr_pat_", 16),
    ("dop_v1_", 20),
    ("doo_v1_", 20),
    ("eyJ", 17),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 20),
    ("gldt-", 16),
    ("glpat-", 16),
    ("glptt-", 16),
    ("glrt-", 16),
    ("glsa_", 20),
    ("hf_", 24),
    ("hvb.", 20),
    ("hvs.", 20),
    ("lin_api_", 20),
    ("npm_", 24),
    ("nvapi-", 24),
    ("pypi-", 24),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("rubygems_", 24),
    ("sbp_", 24),
    ("shpat_", 20),
    ("shpss_", 20),
    ("sk-", 24),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("sntrys_", 20),
    ("tskey-", 16),
    ("whsec_", 16),
    ("xapp-", 16),
    ("xkeysib-", 20),
    ("xoxa-", 12),
    ("xoxb-", 12),
    ("xoxp-", 12),
    ("xoxr-", 12),
    ("xoxs-", 12),
    ("ya29.", 20),
];
