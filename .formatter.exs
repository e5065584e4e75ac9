[
  inputs: ["{mix,.formatter}.exs", "elixir/**/*.{ex,exs}", "tests/**/*.{ex,exs}"],
  line_length: 98
]
