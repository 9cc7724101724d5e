//! Plain values of a type, to return at once.

use syn::{PointerMutability, ReturnType, Type};

/// Values of a function's type, as expressions.
pub fn values(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, ty) => values_of(ty),
    }
}

fn values_of(ty: &Type) -> Vec<String> {
    let strings = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    match ty {
        Type::Never(_) | Type::ImplTrait(_) => Vec::new(),
        Type::Tuple(tuple) if tuple.elems.is_empty() => strings(&["()"]),
        Type::Tuple(tuple) => {
            let each = tuple.elems.iter().map(|elem| values_of(elem).into_iter().next());
            each.collect::<Option<Vec<_>>>()
                .map_or_else(Vec::new, |each| vec![format!("({})", each.join(", "))])
        }
        Type::Ptr(pointer) if matches!(pointer.mutability, PointerMutability::Mut(_)) => {
            strings(&["core::ptr::null_mut()"])
        }
        Type::Ptr(_) => strings(&["core::ptr::null()"]),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Vec::new() };
            let argument = match &last.arguments {
                syn::PathArguments::AngleBracketed(arguments) => arguments.args.first(),
                _ => None,
            };
            let inner = || match argument {
                Some(syn::GenericArgument::Type(ty)) => values_of(ty),
                _ => strings(&["Default::default()"]),
            };
            match last.ident.to_string().as_str() {
                "bool" => strings(&["true", "false"]),
                "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" | "isize" | "c_int" => {
                    strings(&["0", "1"])
                }
                "NonNull" => strings(&["core::ptr::NonNull::dangling()"]),
                "Option" => {
                    let some = inner().into_iter().map(|value| format!("Some({value})"));
                    strings(&["None"]).into_iter().chain(some).collect()
                }
                "Result" => inner().into_iter().map(|value| format!("Ok({value})")).collect(),
                _ => strings(&["Default::default()"]),
            }
        }
        _ => strings(&["Default::default()"]),
    }
}
