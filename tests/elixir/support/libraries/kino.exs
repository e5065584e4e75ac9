# Stand-ins for what `Vllm.Kino` and the implementations of `Kino.Render` use of Kino 0.19.0. What is
# rendered and appended goes to the process that has made the frame. The outputs are maps as Livebook's.

defprotocol Kino.Render do
  @fallback_to_any true
  def to_livebook(value)
end

defmodule Kino do
  def render(term) do
    send(self(), {:rendered, term})
    term
  end

  # As Kino: the child belongs to its supervisor, and ends with the process that has started it.
  def start_child(child) do
    %{start: {module, function, arguments}, restart: :temporary} =
      Supervisor.child_spec(child, [])

    {:ok, pid} = apply(module, function, arguments)
    send(self(), {:started, pid})
    {:ok, pid}
  end
end

defmodule Kino.Frame do
  defstruct [:ref, :pid]

  def new, do: %__MODULE__{ref: make_ref(), pid: self()}

  def append(%__MODULE__{} = frame, term), do: put(frame, :appended, term)

  # The real one asks for the output of the term, and so does this.
  def render(%__MODULE__{} = frame, term),
    do: put(frame, :shown, Kino.Render.to_livebook(term))

  defp put(frame, what, term) do
    send(frame.pid, {what, frame.ref, term})
    :ok
  end
end

for module <- [Kino.Text, Kino.Markdown] do
  defmodule module do
    defstruct [:text, :chunk, :terminal]

    @known [chunk: false] ++ if(module == Kino.Text, do: [terminal: false], else: [])

    def new(text, options \\ []) when is_binary(text),
      do: struct!(__MODULE__, [text: text] ++ Keyword.validate!(options, @known))
  end
end

defmodule Kino.Inspect do
  defstruct [:term]
  def new(term), do: %__MODULE__{term: term}
end

defmodule Kino.Layout do
  defstruct [:type, :items, :labels]

  def tabs(tabs) do
    {labels, items} = Enum.unzip(tabs)
    %__MODULE__{type: :tabs, items: items, labels: Enum.map(labels, &to_string/1)}
  end

  def grid(items) when is_list(items), do: %__MODULE__{type: :grid, items: items}
end

defimpl Kino.Render, for: Any do
  def to_livebook(term), do: %{type: :inspect, text: inspect(term)}
end

defimpl Kino.Render, for: Kino.Inspect do
  def to_livebook(%{term: term}), do: Kino.Render.Any.to_livebook(term)
end

defimpl Kino.Render, for: Kino.Frame do
  def to_livebook(%{ref: ref}), do: %{type: :frame, ref: ref}
end

defimpl Kino.Render, for: Kino.Text do
  def to_livebook(%{terminal: true, text: text}), do: %{type: :terminal_text, text: text}
  def to_livebook(%{text: text}), do: %{type: :plain_text, text: text}
end

defimpl Kino.Render, for: Kino.Markdown do
  def to_livebook(%{text: text}), do: %{type: :markdown, text: text}
end

defimpl Kino.Render, for: Kino.Layout do
  def to_livebook(layout) do
    outputs = Enum.map(layout.items, &Kino.Render.to_livebook/1)
    %{type: layout.type, labels: layout.labels, outputs: outputs}
  end
end
