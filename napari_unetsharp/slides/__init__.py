"""A run over a slide: blocks that stand for themselves, and a store on disk that shows them."""
