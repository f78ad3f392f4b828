use proptest::prelude::*;

use super::*;

fn path(text: &str) -> Expression {
    Expression::Path(text.to_owned())
}

fn call(target: &str) -> Call {
    match parse(target).unwrap() {
        Expression::Call(call) => call,
        other => panic!("{target}: {other:?}"),
    }
}

#[test]
fn paths_have_every_character_of_names() {
    for name in [
        "a.b-c_d",
        "web:80/x@y#z+1%~",
        "a=b",
        "a.{b,c.d}.*[0-9]?",
        "1.2.3",
        "true",
        "a..b",
    ] {
        assert_eq!(parse(name), Ok(path(name)));
    }
    assert_eq!(call("f(a.b=c, 10.x)").arguments, [path("a.b=c"), path("10.x")]);
    assert_eq!(call(r"f(a\=b)").arguments, [path("a=b")]);
}

#[test]
fn arguments_are_of_all_kinds() {
    let call = call(r#" f ( a.*,2,-3.5 , 1e3,"x\"y", 'z' ,true,None,inf, g(), n = 5, s="t" ) "#);
    let number = |real| Expression::Number(Number::Real(real));
    let arguments = &call.arguments;
    assert_eq!(arguments[0], path("a.*"));
    assert_eq!(arguments[1], Expression::Number(Number::Exact(2)));
    assert_eq!(arguments[2..4], [number(-3.5), number(1e3)]);
    assert_eq!(arguments[4], Expression::Text(r#"x\"y"#.to_owned()));
    assert_eq!(arguments[5], Expression::Text("z".to_owned()));
    assert_eq!(
        arguments[6..9],
        [Expression::Boolean(true), Expression::None, number(f64::INFINITY)]
    );
    let keys: Vec<&str> = call.keywords.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["n", "s"]);
}

#[test]
fn a_pipe_is_a_call_around_what_is_before_it() {
    let piped = call("a.b | scale(2)|alias('x')");
    let nested = call("alias(scale(a.b,2),'x')");
    assert_eq!(
        (&piped.function, &piped.arguments[1]),
        (&nested.function, &nested.arguments[1])
    );
    let (Expression::Call(piped), Expression::Call(nested)) = (&piped.arguments[0], &nested.arguments[0])
    else {
        panic!("{piped:?}")
    };
    assert_eq!(piped.arguments, nested.arguments);
    assert_eq!(call("f(a|g(),b)").arguments.len(), 2);
}

#[test]
fn refusals_say_where() {
    for (target, sentence) in [
        (
            "",
            "target is not an expression: a name, a pattern or a function is missing at character 1",
        ),
        (
            "sumSeries(a",
            "target is not an expression: ',' or ')' is missing at character 12",
        ),
        (
            "sumSeries(a))",
            "target is not an expression: the end of the target is missing at character 13",
        ),
        (
            "alias(a,\"x)",
            "target is not an expression: a string with its closing quote is missing at character 9",
        ),
        (
            "f(n=1,a)",
            "target is not an expression: a keyword, as before it, is missing at character 8",
        ),
        (
            "a|b",
            "target is not an expression: a function after '|' is missing at character 3",
        ),
        ("template(a)", "template() is not taken: write the target out"),
    ] {
        assert_eq!(parse(target).unwrap_err().to_string(), sentence, "{target}");
    }
}

#[test]
fn depth_and_length_are_limited() {
    let nested = |depth: usize| format!("{}a{}", "f(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(parse(&nested(DEPTH_MAX + 1)), Err(Error::TooDeep));
    assert!(parse(&format!("a{}", "|f()".repeat(DEPTH_MAX))).is_ok());
    assert_eq!(
        parse(&format!("a{}", "|f()".repeat(DEPTH_MAX + 1))),
        Err(Error::TooDeep)
    );
    assert_eq!(
        parse(&format!("f(a{})", "|f()".repeat(DEPTH_MAX))),
        Err(Error::TooDeep)
    );
    assert_eq!(
        parse(&"(".repeat(TARGET_BYTES_MAX))
            .unwrap_err()
            .to_string()
            .split(':')
            .next(),
        Some("target is not an expression")
    );
    assert_eq!(
        parse(&"a".repeat(TARGET_BYTES_MAX + 1)),
        Err(Error::TargetTooLong)
    );
}

fn written(expression: &Expression) -> String {
    match expression {
        Expression::Path(path) => path.replace('=', r"\="),
        Expression::Number(number) => number.to_string(),
        Expression::Text(text) => format!("'{text}'"),
        Expression::Boolean(boolean) => boolean.to_string(),
        Expression::None => "None".to_owned(),
        Expression::Tags(tags) => tags.raw.clone(),
        Expression::Call(call) => {
            let arguments = call.arguments.iter().map(written);
            let keywords = call
                .keywords
                .iter()
                .map(|(key, value)| format!("{key}={}", written(value)));
            format!(
                "{}({})",
                call.function,
                arguments.chain(keywords).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

fn any_expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        "[a-z][a-z=:/@#+%~-]{0,5}(\\.[a-z*?]{1,4}){1,3}".prop_map(Expression::Path),
        any::<i32>().prop_map(|number| Expression::Number(Number::Exact(number.into()))),
        (-1e9..1e9).prop_map(|number: f64| Expression::Number(Number::Real(number))),
        "[ -&(-\\[\\]-~]{0,8}".prop_map(Expression::Text),
        any::<bool>().prop_map(Expression::Boolean),
        Just(Expression::None),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let keywords = prop::collection::vec(("[a-z_]{1,6}", inner.clone()), 0..2);
        ("[a-zA-Z]{1,8}", prop::collection::vec(inner, 0..4), keywords)
            .prop_filter("reserved", |(function, _, _)| {
                function != "template" && function != SERIES_BY_TAG
            })
            .prop_map(|(function, arguments, keywords)| {
                Expression::Call(Call {
                    function,
                    arguments,
                    keywords,
                })
            })
    })
}

proptest! {
    #[test]
    fn no_target_panics(target in "\\PC{0,60}", tail in "[a-z(){},|'\"\\\\=. 0-9-]{0,60}") {
        let whole = parse(&format!("{target}{tail}"));
        let end = parse(&tail);
        prop_assert!(whole.is_ok() || !whole.unwrap_err().to_string().is_empty());
        prop_assert!(end.is_ok() || !end.unwrap_err().to_string().is_empty());
    }

    #[test]
    fn what_is_written_is_read(expression in any_expression()) {
        if matches!(expression, Expression::Path(_) | Expression::Call(_)) {
            prop_assert_eq!(parse(&written(&expression)), Ok(expression));
        }
    }
}
