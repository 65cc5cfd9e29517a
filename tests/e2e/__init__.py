"""The product as its users have it: installed, on a terminal, with a real daemon behind pycloudctl."""
