# Stand-ins for what `Vllm.Kino` uses of Kino 0.19.0. What is rendered and appended goes to the calling process.

defmodule Kino do
  def render(term) do
    send(self(), {:rendered, term})
    term
  end
end

defmodule Kino.Frame do
  defstruct [:ref]

  def new, do: %__MODULE__{ref: make_ref()}

  def append(%__MODULE__{ref: ref}, term) do
    send(self(), {:appended, ref, term})
    :ok
  end
end

for module <- [Kino.Text, Kino.Markdown] do
  defmodule module do
    defstruct [:text, :chunk]

    def new(text, options) when is_binary(text) do
      %{chunk: chunk} = options |> Keyword.validate!(chunk: false) |> Map.new()
      %__MODULE__{text: text, chunk: chunk}
    end
  end
end
