use proptest::prelude::*;

use super::*;

fn masked(line: &[&str]) -> Vec<String> {
    let args: Vec<String> = line.iter().map(|it| (*it).to_owned()).collect();
    let exe = format!("/usr/bin/{}", line[0]);
    Arguments::Masked.keep(Some(&exe), args.into()).to_vec()
}

#[test]
fn secrets_are_masked() {
    // The secret is `S3cret…` wherever it is, and everything else stays.
    for line in [
        // By the name of an option.
        &["app", "--password=S3cret"][..],
        &["app", "--password", "S3cret", "--port", "80"],
        &["app", "--password=S3cret with spaces & more;x=1"],
        &["app", "--password", "-S3cret"],
        &["app", "--db-password=S3cret"],
        &["app", "--dbPassword", "S3cret"],
        &["app", "--token", "S3cret"],
        &["app", "--auth-token=S3cret"],
        &["app", "--secret", "S3cret"],
        &["app", "--client_secret=S3cret"],
        &["app", "--api-key", "S3cret"],
        &["app", "--apikey=S3cret"],
        &["app", "-password", "S3cret"],
        &["app", "-passwd=S3cret"],
        &["app", "--passphrase", "S3cret"],
        &["app", "--secret-key=S3cret"],
        &["app", "--password2", "S3cret"],
        &[
            "java",
            "-Dspring.datasource.password=S3cret",
            "-jar",
            "shop.jar",
        ],
        &[
            "java",
            "-Djavax.net.ssl.keyStorePassword=S3cret",
            "-jar",
            "a.jar",
        ],
        &["redis-server", "--requirepass", "S3cret"],
        &["keytool", "-storepass", "S3cret", "-keystore", "a.jks"],
        &["curl", "--oauth2-bearer", "S3cret", "http://a/"],
        &["helm", "upgrade", "--set", "auth.password=S3cret"],
        // By the program.
        &["mysql", "-uroot", "-pS3cret", "shop"],
        &["mysqldump", "-h", "db", "-pS3cret"],
        &["mariadb-dump", "-pS3cret"],
        &["mongo", "-u", "root", "-p", "S3cret"],
        &["redis-cli", "-h", "cache", "-a", "S3cret", "ping"],
        &["redis-cli", "-aS3cret"],
        &["redis-cli", "AUTH", "S3cret"],
        &["redis-cli", "config", "set", "requirepass", "S3cret"],
        &["sshpass", "-p", "S3cret", "ssh", "-p", "22", "host"],
        &["sshpass", "-pS3cret", "ssh", "host"],
        &["curl", "-u", "user:S3cret", "http://a/"],
        &["curl", "-sSu", "user:S3cret", "http://a/"],
        &["curl", "-uuser:S3cret", "http://a/"],
        &["curl", "--user", "user:S3cret"],
        &["ldapsearch", "-D", "cn=admin", "-w", "S3cret"],
        &["smbclient", "//host/share", "-U", "user%S3cret"],
        &["sqlplus", "scott/S3cret@db"],
        &["docker", "login", "-u", "me", "-p", "S3cret", "registry"],
        &["rabbitmqctl", "add_user", "me", "S3cret"],
        &["zip", "-P", "S3cret", "a.zip", "a"],
        &["7z", "x", "-pS3cret", "a.7z"],
        &["openssl", "enc", "-pass", "pass:S3cret"],
        &["htpasswd", "-nb", "me", "S3cret"],
        &["xfreerdp", "/u:me", "/p:S3cret", "/v:host"],
        // Of what is run by something else.
        &["sudo", "-u", "db", "mysql", "-pS3cret"],
        &["env", "PGPASSWORD=S3cret", "psql", "-h", "db"],
        &["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=S3cret", "mysql"],
        &["docker", "exec", "db", "mysql", "-uroot", "-pS3cret"],
        &["sh", "-c", "mysql -uroot -pS3cret -e 'select 1' shop"],
        &["sh", "-c", "PGPASSWORD=S3cret psql -h db"],
        &["sh", "-c", "exec redis-cli -a S3cret ping"],
        &[
            "bash",
            "-lc",
            "app --password 'S3cret with spaces' --port 80",
        ],
        &["ssh", "host", "sh -c 'mysql -pS3cret'"],
        &[
            "sh",
            "-c",
            "curl -H \"Authorization: Bearer S3cret\" http://a/",
        ],
        // Headers and bodies.
        &["curl", "-H", "Authorization: Bearer S3cret", "http://a/"],
        &["curl", "-H", "X-Api-Key:S3cret", "http://a/"],
        &["wget", "--header=Authorization: Bearer S3cret", "http://a/"],
        &["app", "--header", "Bearer S3cretS3cretS3cret"],
        &["curl", "-H", "Cookie: id=S3cret; theme=S3cret"],
        &[
            "curl",
            "-d",
            "{\"user\": \"me\", \"password\": \"S3cret\"}",
            "http://a/",
        ],
        &["curl", "-d", "user=me&password=S3cret", "http://a/"],
        &["mysql", "-e", "ALTER USER me IDENTIFIED BY 'S3cret'"],
        &["psql", "-c", "CREATE ROLE me PASSWORD 'S3cret'"],
        // URLs and connection strings.
        &["psql", "postgres://me:S3cret@db:5432/shop"],
        &["app", "--db=postgres://me:S3cret@db/shop"],
        &["app", "redis://:S3cret@cache:6379"],
        &["app", "amqp://me:S3cret/with/slashes@mq/"],
        &["app", "mongodb://me:S3cret@a,b,c/shop"],
        &[
            "git",
            "clone",
            "https://S3cretS3cretS3cretS3cret@host/a.git",
        ],
        &["app", "me:S3cret@tcp(db:3306)/shop"],
        &["app", "jdbc:oracle:thin:me/S3cret@db:1521/shop"],
        &["psql", "host=db user=me password=S3cret dbname=shop"],
        &["app", "Server=db;User Id=me;Password=S3cret;Database=shop"],
        &["app", "cache:6379,password=S3cret,ssl=True"],
        &["app", "AccountName=a;AccountKey=S3cret==;EndpointSuffix=b"],
        &["curl", "https://a/?token=S3cret&page=2"],
        &["curl", "https://a/?page=2&sig=S3cret#top"],
        &["curl", "https://a/b?X-Amz-Date=1&X-Amz-Signature=S3cret"],
        &["curl", "https://hooks.slack.com/services/S3cret"],
    ] {
        let told = masked(line);
        assert_eq!(told.len(), line.len());
        for (word, told) in line.iter().zip(&told) {
            assert!(!told.contains("S3cret"), "{line:?}: {told}");
            assert_eq!(
                word.contains("S3cret"),
                told.contains(MASK),
                "{line:?}: {told}"
            );
            if !word.contains("S3cret") {
                assert_eq!(word, told, "{line:?}");
            }
        }
    }
}

#[test]
fn what_is_around_a_secret_stays() {
    for (line, expected) in [
        (
            &["curl", "-u", "me:x1", "http://a/"][..],
            "curl -u me:*** http://a/",
        ),
        (&["mysql", "-px1", "shop"], "mysql -p*** shop"),
        (
            &["app", "postgres://me:x1@db/shop"],
            "app postgres://me:***@db/shop",
        ),
        (
            &["app", "https://a/?token=x1&page=2"],
            "app https://a/?token=***&page=2",
        ),
        (
            &["app", "host=db password=x1 dbname=shop"],
            "app host=db password=*** dbname=shop",
        ),
        (
            &["app", "Server=db;Password=x;1;Database=shop"],
            "app Server=db;Password=***;Database=shop",
        ),
        (
            &["sh", "-c", "PGPASSWORD=x1 psql -h db"],
            "sh -c PGPASSWORD=*** psql -h db",
        ),
        (
            &["curl", "-d", "{\"password\": \"x1\", \"a\": 1}"],
            "curl -d {\"password\": \"***\", \"a\": 1}",
        ),
        (
            &["curl", "-H", "Authorization: Bearer x1"],
            "curl -H Authorization: ***",
        ),
        (&["sqlplus", "scott/x1@db"], "sqlplus scott/***@db"),
    ] {
        assert_eq!(masked(line).join(" "), expected);
    }
}

#[test]
fn tokens_are_known_by_their_beginning() {
    for token in [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0123456789_abcdef",
        "glpat-1234567890abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdef",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w",
        "hvs.CAESIJ1234567890abcdefgh",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    ] {
        for arg in [
            token.to_owned(),
            format!("x={token},y"),
            format!("a {token} b"),
        ] {
            let told = masked(&["app", &arg]);
            assert!(!told[1].contains(&token[6..]), "{told:?}");
            assert!(told[1].contains(MASK), "{told:?}");
        }
    }
    let key = "-----BEGIN PRIVATE KEY-----\nS3cret\n-----END PRIVATE KEY-----";
    assert!(!masked(&["app", key])[1].contains("S3cret"));
}

#[test]
fn no_token_is_shorter_than_the_shortest() {
    let shortest = rules::TOKENS
        .iter()
        .map(|(prefix, least)| prefix.len() + least);
    assert_eq!(shortest.min(), Some(16));
}

#[test]
fn what_is_no_secret_stays() {
    for line in [
        &["ssh", "-p", "22", "host"][..],
        &["ssh", "-i", "/root/.ssh/id_ed25519", "git@host", "ls"],
        &["mkdir", "-p", "x"],
        &["app", "-p", "8080"],
        &["app", "--port=8080", "--user", "me"],
        &[
            "docker",
            "run",
            "-p",
            "8080:80",
            "-a",
            "stdout",
            "nginx:1.27",
        ],
        &["docker", "run", "nginx:1.27@sha256:0123456789abcdef"],
        &["app", "--password-file", "/run/secrets/db"],
        &["app", "--password-file=/run/secrets/db"],
        &["app", "--token-ttl", "5m"],
        &["app", "--max-tokens", "512"],
        &["app", "--no-password", "shop"],
        &["ansible", "--ask-pass", "all"],
        &["app", "--password="],
        &["app", "--password", "--port", "80"],
        &["mysql", "-p"],
        &["mysql", "-P", "3306", "--port", "3306", "shop"],
        &["mysqldump", "--protocol=tcp", "shop"],
        &["node", "-p", "1+1"],
        &["gcc", "-pipe", "-pthread", "a.c"],
        &["grep", "-e", "password", "file"],
        &["passenger", "start", "--environment", "production"],
        &["app", "--compass", "north", "--bypass", "x"],
        &["app", "the bearer of news", "note: token of thanks"],
        &["env", "PWD=/srv/shop", "HOME=/root", "app"],
        &["openssl", "s_client", "-connect", "host:443"],
        &["openssl", "rsa", "-passin", "file:/etc/key.pass"],
        &["curl", "http://host:8080/a@b?page=2&sort=key"],
        &["curl", "-b", "-", "http://[::1]:80/"],
        &["curl", "-H", "Content-Type: application/json"],
        &["app", "--private-key", "/etc/tls/key.pem"],
        &["app", "--private-key=./key.pem"],
        &["wg", "set", "wg0", "private-key", "/etc/wg"],
        &["nginx", "-g", "daemon off;"],
        &["postgres: shop app 10.0.0.5(41532) idle"],
        &["sshd: root@pts/0"],
        &["nginx: worker process"],
        &["python3", "-m", "http.server", "8080"],
        &["python3", "/srv/shop/token.py"],
        &[
            "java",
            "-Xmx1g",
            "-cp",
            "a.jar:b.jar",
            "kafka.Kafka",
            "server.properties",
        ],
        &["rsync", "-a", "host:/srv/", "/srv/"],
        &["app", "sk-learn", "--hf_hub", "npm_config", "eyJ"],
        &["redis-cli", "-h", "cache", "get", "key"],
        &["tar", "-xpf", "a.tar"],
        &["psql", "-c", "select password from users"],
    ] {
        assert_eq!(masked(line), line);
    }
}

#[test]
fn a_secret_that_was_cut_is_still_one() {
    let cut = |args: &[&str]| masked(args).join(" ");
    assert_eq!(cut(&["app", "--password=S3c…"]), "app --password=***…");
    assert_eq!(cut(&["app", "--password", "S3c…"]), "app --password ***…");
    assert_eq!(
        cut(&["app", "postgres://me:S3c…"]),
        "app postgres://me:***…"
    );
    assert_eq!(cut(&["app", "plain…"]), "app plain…");
    assert_eq!(cut(&["app", "http://host:80…"]), "app http://host:80…");
}

/// Whoever fills arguments with what takes long to look at hides nothing by that, and shows nothing.
#[test]
fn what_is_too_much_to_look_at_is_masked() {
    for (part, count) in [
        ("token=S3cret ", 300),
        ("a://b:S3cret@c ", 250),
        ("x password 'S3cret' ", 200),
        ("{\"token\":\"S3cret\"} ", 190),
        ("mysql -pS3cret ", 270),
    ] {
        let told = masked(&["sh", "-c", &part.repeat(count)]);
        assert!(!told[2].contains("S3cret"), "{}", &told[2][..99]);
    }
}

#[test]
fn all_or_nothing_is_told_if_asked_for() {
    let args: Arc<[String]> = ["app".to_owned(), "--password=x1".to_owned()].into();
    let full = Arguments::Full.keep(None, Arc::clone(&args));
    assert!(Arc::ptr_eq(&full, &args));
    let mut process = Process::clone(&crate::model::specimens::events::process("app"));
    process.args = Some(args);
    Arguments::Masked.tell_of(&mut process);
    assert!(process.args.is_some());
    Arguments::None.tell_of(&mut process);
    assert_eq!(process.args, None);
}

#[test]
fn labels_lose_their_secrets() {
    let told = |name: &str, value: &str| label(name, value).map(|it| it.to_string());
    assert_eq!(
        told("com.docker.compose.service", "web").as_deref(),
        Some("web")
    );
    assert_eq!(told("traefik.db.password", "x1").as_deref(), Some(MASK));
    assert_eq!(
        told("db", "postgres://me:x1@db/shop").as_deref(),
        Some("postgres://me:***@db/shop")
    );
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    assert_eq!(told(applied, "{}"), None);
}

proptest! {
    /// Whatever arguments are: as many, no longer but for masks, and what was cut is told to be.
    #[test]
    fn any_arguments_are_masked_once(
        args in proptest::collection::vec(
            "(-{0,2}(p|password|token|u|a|c)?[=: ]?)?(\\PC|[-=:@/?&;,'\" …]|://|password|mysql|curl|eyJ1){0,12}",
            1..8,
        ),
    ) {
        let args: Arc<[String]> = args.into();
        let once = Arguments::Masked.keep(Some("/usr/bin/mysql"), Arc::clone(&args));
        prop_assert_eq!(once.len(), args.len());
        for (told, arg) in once.iter().zip(args.iter()) {
            prop_assert!(told.len() <= arg.len() * (MASK.len() + 1) + MASK.len());
        }
        let is_cut = |args: &[String]| args.last().is_some_and(|it| it.ends_with('…'));
        prop_assert_eq!(is_cut(&once), is_cut(&args));
    }

    #[test]
    fn a_password_is_masked_whatever_it_is(secret in "[!-~]{3,40}") {
        prop_assume!(!text::is_plain(&secret));
        let told = masked(&["app", &format!("--password={secret}"), &format!("DB_PASSWORD={secret}")]);
        prop_assert_eq!(told, ["app", "--password=***", "DB_PASSWORD=***"]);
    }
}
