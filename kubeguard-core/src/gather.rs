//! Lists, watches, files and discovery: where objects come from.
