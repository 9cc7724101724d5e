//! What can be changed in a source file.

use std::ops::Range;

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Pat, Safety, Stmt, UnOp};

use crate::value::values;

/// A small change to the source, which makes it wrong; most of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The file, below the crate's `src`.
    pub file: String,
    /// The function that it is in, with its type.
    pub function: String,
    /// Whether that is an `unsafe fn`.
    pub is_unsafe: bool,
    /// Whether the compiler may evaluate it, so that it has to be built in.
    pub is_const: bool,
    /// The line, counted from 1.
    pub line: usize,
    /// The bytes of the file that it concerns.
    pub range: Range<usize>,
    /// How it changes them.
    pub change: Change,
    /// The change in words.
    pub what: String,
}

/// What a mutant does to its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This expression in place of the one there.
    Expression(String),
    /// The statement is left out.
    Leave,
    /// This statement comes first in a body; the range is empty.
    Enter(String),
    /// The arm, after whose pattern this is, is not taken; the range is empty.
    Pass,
}

/// All mutants of a file, in the order of their places. What only tests
/// compile is left alone, and so is what macros are given.
///
/// # Errors
///
/// If it is no Rust.
pub fn find(file: &str, text: &str) -> syn::Result<Vec<Mutant>> {
    let parsed = syn::parse_file(text)?;
    let mut finder = Finder {
        file,
        text,
        path: Vec::new(),
        is_unsafe: false,
        is_const: false,
        found: Vec::new(),
    };
    finder.visit_file(&parsed);
    Ok(finder.found)
}

/// The text of a file without what only tests or other machines compile.
///
/// # Errors
///
/// If it is no Rust.
pub fn untested(text: &str) -> syn::Result<String> {
    let mut kept = String::new();
    let mut from = 0;
    for item in syn::parse_file(text)?.items {
        if let syn::Item::Mod(item) = &item
            && is_left_out(&item.attrs)
        {
            let range = item.span().byte_range();
            kept.push_str(&text[from..range.start]);
            from = range.end;
        }
    }
    kept.push_str(&text[from..]);
    Ok(kept)
}

/// Whether an item is a test, or is not compiled but for tests or other machines.
fn is_left_out(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || attr.path().is_ident("cfg")
                && attr.parse_args::<syn::Meta>().is_ok_and(|meta| !is_compiled(&meta))
    })
}

/// Whether a condition holds here, outside tests; one that is not known does.
fn is_compiled(condition: &syn::Meta) -> bool {
    let parts = |list: &syn::MetaList| {
        list.parse_args_with(Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .unwrap_or_default()
    };
    match condition {
        syn::Meta::Path(path) => !path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("not") => !parts(list).iter().all(is_compiled),
        syn::Meta::List(list) if list.path.is_ident("any") => parts(list).iter().any(is_compiled),
        syn::Meta::List(list) => parts(list).iter().all(is_compiled),
        syn::Meta::NameValue(pair) => {
            let here = match pair.path.get_ident() {
                Some(name) if name == "target_arch" => std::env::consts::ARCH,
                Some(name) if name == "target_os" => std::env::consts::OS,
                Some(name) if name == "target_env" && cfg!(target_env = "gnu") => "gnu",
                _ => return true,
            };
            matches!(&pair.value, Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. })
                if value.value() == here)
        }
    }
}

struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    path: Vec<String>,
    is_unsafe: bool,
    is_const: bool,
    found: Vec<Mutant>,
}

impl Finder<'_> {
    fn add(&mut self, at: Span, range: Range<usize>, change: Change, what: String) {
        self.found.push(Mutant {
            file: self.file.to_owned(),
            function: self.path.join("::"),
            is_unsafe: self.is_unsafe,
            is_const: self.is_const,
            line: at.start().line,
            range,
            change,
            what,
        });
    }

    fn replace(&mut self, expr: &Expr, with: String, what: String) {
        self.add(expr.span(), expr.span().byte_range(), Change::Expression(with), what);
    }

    fn source(&self, spanned: &impl Spanned) -> &str {
        &self.text[spanned.span().byte_range()]
    }

    fn within(&mut self, name: String, is_const: bool, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.is_const, is_const);
        self.path.push(name);
        visit(self);
        self.path.pop();
        self.is_const = outer;
    }

    fn function(
        &mut self,
        sig: &syn::Signature,
        block: &syn::Block,
        visit: impl FnOnce(&mut Self),
    ) {
        let is_unsafe = matches!(sig.safety, Safety::Unsafe(_));
        let outer = std::mem::replace(&mut self.is_unsafe, is_unsafe);
        self.within(sig.ident.to_string(), sig.constness.is_some(), |finder| {
            let open = block.brace_token.span.open();
            let body = finder.source(block).trim_matches(['{', '}', ' ', '\n']).to_owned();
            for value in values(&sig.output) {
                if body == value || block.stmts.is_empty() {
                    continue;
                }
                let at = open.byte_range().end;
                let what = format!("return {} at once", or_unit(&value));
                finder.add(open, at..at, Change::Enter(format!("return {value};")), what);
            }
            visit(finder);
        });
        self.is_unsafe = outer;
    }

    fn constant(&mut self, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.is_const, true);
        visit(self);
        self.is_const = outer;
    }

    fn arms(&mut self, arms: &[syn::Arm]) {
        let is_open = |arm: &syn::Arm| matches!(arm.pat, Pat::Wild(_));
        for arm in arms {
            match &arm.pat {
                Pat::Guard(guarded) if !has_let(&guarded.guard) => {
                    for value in ["true", "false"] {
                        let what = format!("replace the guard by {value}");
                        self.replace(&guarded.guard, value.to_owned(), what);
                    }
                }
                pat if !is_open(arm) && arms.last().is_some_and(is_open) => {
                    let end = pat.span().byte_range().end;
                    let what = format!("leave out the arm {}", self.source(pat));
                    self.add(pat.span(), end..end, Change::Pass, what);
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_left_out(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_left_out(&item.attrs) {
            self.function(&item.sig, &item.block, |finder| visit::visit_block(finder, &item.block));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_left_out(&item.attrs) {
            self.function(&item.sig, &item.block, |finder| visit::visit_block(finder, &item.block));
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block, |finder| visit::visit_block(finder, block));
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // What a value looks like to a programmer is nobody's promise.
        if item.trait_.as_ref().is_some_and(|(name, _)| self.source(name).ends_with("Debug")) {
            return;
        }
        let name = self.source(&*item.self_ty).to_owned();
        self.within(name, false, |finder| visit::visit_item_impl(finder, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), false, |finder| visit::visit_item_trait(finder, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within(item.ident.to_string(), true, |finder| finder.visit_expr(&item.expr));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.within(item.ident.to_string(), true, |finder| finder.visit_expr(&item.expr));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.within(item.ident.to_string(), true, |finder| finder.visit_expr(&item.expr));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.constant(|finder| visit::visit_type_array(finder, array));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.constant(|finder| visit::visit_variant(finder, variant));
    }

    fn visit_expr_const(&mut self, block: &'ast syn::ExprConst) {
        self.constant(|finder| visit::visit_expr_const(finder, block));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.constant(|finder| finder.visit_expr(&repeat.len));
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        if let Stmt::Expr(expr, Some(_)) = stmt
            && let Some(kind) = effect(expr)
        {
            let what = format!("leave out the {kind}");
            self.add(stmt.span(), stmt.span().byte_range(), Change::Leave, what);
        }
        visit::visit_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(binary) if !has_let(expr) => {
                let old = self.source(&binary.op).to_owned();
                for new in others(&binary.op) {
                    let (left, right) = (self.source(&*binary.left), self.source(&*binary.right));
                    // No cast, and no generic argument, is to be read into it.
                    let mutated = format!("({left}) {new} ({right})");
                    let at = binary.op.span();
                    let change = Change::Expression(mutated);
                    let what = format!("replace {old} by {new}");
                    self.add(at, expr.span().byte_range(), change, what);
                }
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_) | UnOp::Neg(_)) => {
                let operand = format!("({})", self.source(&*unary.expr));
                let what = format!("leave out the {}", self.source(&unary.op));
                self.replace(expr, operand, what);
            }
            Expr::If(branch) if !has_let(&branch.cond) => {
                for value in ["true", "false"] {
                    let what = format!("replace the condition by {value}");
                    self.replace(&branch.cond, value.to_owned(), what);
                }
            }
            Expr::Match(choice) => self.arms(&choice.arms),
            _ => {}
        }
        visit::visit_expr(self, expr);
    }
}

/// What a statement is that is there for its effect alone.
fn effect(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Assign(_) => Some("assignment"),
        Expr::Binary(binary) => is_compound(&binary.op).then_some("assignment"),
        Expr::Call(_) | Expr::MethodCall(_) | Expr::Try(_) => Some("call"),
        Expr::Unsafe(block) => match &block.block.stmts[..] {
            [Stmt::Expr(inner, _)] => effect(inner),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a condition binds names, which a change would lose.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn is_compound(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}

fn others(op: &BinOp) -> &'static [&'static str] {
    match op {
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "/"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["*", "%"],
        BinOp::Rem(_) => &["/", "+"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::BitXor(_) => &["&", "|"],
        BinOp::BitAnd(_) => &["|", "^"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", "==", ">"],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "==", "<"],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+=", "/="],
        BinOp::MulAssign(_) => &["+=", "/="],
        BinOp::DivAssign(_) => &["*=", "%="],
        BinOp::RemAssign(_) => &["/=", "+="],
        BinOp::BitXorAssign(_) => &["&=", "|="],
        BinOp::BitAndAssign(_) => &["|=", "^="],
        BinOp::BitOrAssign(_) => &["&=", "^="],
        BinOp::ShlAssign(_) => &[">>="],
        BinOp::ShrAssign(_) => &["<<="],
        _ => &[],
    }
}

fn or_unit(value: &str) -> &str {
    if value.is_empty() { "()" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compiled_here_is_left_alone() {
        let arch = std::env::consts::ARCH;
        let text = [
            ("", true),
            ("#[cfg(test)]", false),
            ("#[test]", false),
            ("#[cfg(not(test))]", true),
            (&format!("#[cfg(target_arch = {arch:?})]"), true),
            (&format!("#[cfg(not(all(target_arch = {arch:?}, target_os = \"linux\")))]"), false),
            ("#[cfg(any(target_arch = \"vax\", target_os = \"linux\"))]", true),
            ("#[cfg(target_arch = \"vax\")]", false),
            ("#[cfg(feature = \"asan\")]", true),
        ];
        for (attribute, is_found) in text {
            let text = format!("{attribute} fn less(a: u8, b: u8) -> bool {{ a < b }}");
            assert_eq!(!find("a.rs", &text).expect("Rust").is_empty(), is_found, "{attribute}");
        }
    }
}
