"""Functions compiled to machine code: acting, learning, updates."""
