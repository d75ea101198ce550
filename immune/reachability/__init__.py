"""Whether a repository's own code comes near a vulnerable package: a static look at its Python and JavaScript. Pure but for ``tree``."""
