use super::*;
use crate::model::specimens::blank;

fn process(exe: &str, args: &[&str], cwd: Option<&str>) -> Process {
    Process {
        exe: Some(exe.into()),
        args: Some(args.iter().map(|it| (*it).to_owned()).collect()),
        cwd: cwd.map(Into::into),
        ..blank::process(7, exe.rsplit('/').next().unwrap_or(exe))
    }
}

fn at(exe: &str, args: &[&str], cwd: &str) -> (String, Option<String>) {
    let it = process(exe, args, Some(cwd));
    (telling(&it).to_string(), place(&it).map(|it| it.text))
}

#[test]
fn a_program_of_an_interpreter_is_a_script_and_a_directory() {
    const PYTHON: &str = "/usr/bin/python3.11";
    const NODE: &str = "/usr/bin/node";
    for (exe, args, cwd, name, place) in [
        (
            PYTHON,
            &["python3", "app.py"][..],
            "/srv/shop",
            "app.py",
            Some("/srv/shop"),
        ),
        (
            PYTHON,
            &["python3", "./web/../app.py"],
            "/srv/shop/",
            "app.py",
            Some("/srv/shop"),
        ),
        (
            PYTHON,
            &["python3", "/srv/blog/app.py"],
            "/root",
            "app.py",
            Some("/srv/blog"),
        ),
        (PYTHON, &["python3", "app.py"], "/", "app.py", None),
        (
            PYTHON,
            &["python3", "-m", "shop.main"],
            "/srv/shop",
            "shop.main",
            Some("/srv/shop"),
        ),
        (
            PYTHON,
            &["python3", "/usr/bin/gunicorn", "a:b"],
            "/srv/shop",
            "gunicorn",
            Some("/srv/shop"),
        ),
        (
            PYTHON,
            &["python3", "/usr/bin/gunicorn", "a:b"],
            "/",
            "gunicorn",
            Some("/usr/bin"),
        ),
        (
            PYTHON,
            &["python3", "/usr/bin/certbot"],
            "/root",
            "certbot",
            Some("/usr/bin"),
        ),
        (
            PYTHON,
            &["python3"],
            "/srv/shop",
            "python3.11",
            Some("/srv/shop"),
        ),
        (
            PYTHON,
            &["python3", "/srv/shop/releases/20261130004500/app.py"],
            "/",
            "app.py",
            Some("/srv/shop/releases/*"),
        ),
        (
            NODE,
            &["node", "index.js"],
            "/srv/cart",
            "index.js",
            Some("/srv/cart"),
        ),
        (
            NODE,
            &["node", "/srv/a/node_modules/.bin/next"],
            "/srv/a",
            "next",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/deno",
            &["deno", "run", "-A", "main.ts"],
            "/srv/a",
            "main.ts",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/deno",
            &["deno", "task", "dev"],
            "/srv/a",
            "deno",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/bun",
            &["bun", "run", "dev"],
            "/srv/a",
            "bun",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/bun",
            &["bun", "./index.ts"],
            "/srv/a",
            "index.ts",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/dotnet",
            &["dotnet", "Shop.dll"],
            "/srv/a",
            "Shop.dll",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/java",
            &["java", "-jar", "shop.jar"],
            "/srv/a",
            "shop.jar",
            Some("/srv/a"),
        ),
        (
            "/usr/bin/java",
            &["java", "kafka.Kafka"],
            "/opt/k1",
            "kafka.Kafka",
            Some("/opt/k1"),
        ),
        (
            "/usr/bin/php",
            &["php", "-S", "0:80"],
            "/srv/a",
            "php",
            Some("/srv/a"),
        ),
        (
            "/bin/bash",
            &["bash", "-c", "while :; do x; done"],
            "/srv/a",
            "bash",
            Some("/srv/a"),
        ),
        // Wherever somebody types.
        ("/bin/bash", &["-bash"], "/root", "bash", None),
        (
            "/usr/sbin/nginx",
            &["nginx", "-g", "x"],
            "/srv/a",
            "nginx",
            None,
        ),
    ] {
        let expected = (name.to_owned(), place.map(str::to_owned));
        assert_eq!(at(exe, args, cwd), expected, "{args:?}");
        let it = process(exe, args, None);
        let has_place = super::place(&it).is_some();
        assert!(place.is_none() || has_place || needs_cwd(&it), "{args:?}");
    }
}

#[test]
fn a_program_in_an_argument_is_its_text() {
    let of = |code: &str, cwd: &str| at("/usr/bin/python3", &["python3", "-c", code], cwd).1;
    let shop = of("import shop; shop.serve(8080)", "/srv");
    assert_ne!(shop, of("import blog; blog.serve(8080)", "/srv"));
    assert_ne!(shop, of("import shop; shop.serve(8080)", "/opt"));
    // A number in it may be another one each time.
    assert_eq!(shop, of("import shop; shop.serve(8081)", "/srv"));
    assert!(of("import shop", "/").is_some(), "without a directory");
}
