defmodule Vllm.Core.OuterSize do
  @moduledoc false
  # The size of a part of a binary in a pattern, where a variable from outside the pattern holds it:
  #
  #     <<head::binary-size(outer(size)), rest::binary>> = data
  #
  # Elixir 1.20 wants such a variable pinned, and warns if it is not. Elixir 1.14 takes no pin there.

  if Version.match?(System.version(), ">= 1.18.0") do
    defmacro outer(size), do: quote(do: ^unquote(size))
  else
    defmacro outer(size), do: size
  end
end
