defmodule Vllm.Kino do
  @moduledoc """
  Shows streams and answers in [Livebook](https://livebook.dev).

  A cell whose value is a stream shows its text while it comes. A chat is shown as Markdown:

      {:ok, stream} = Vllm.stream_chat(engine, "Why is the sky blue?", max_tokens: 200)
      stream

  Showing enumerates the stream, so nothing else can; an error is shown below the text. The next evaluation
  of the cell aborts the request. Streams side by side are `Kino.Layout.grid([first, second], columns: 2)`.

  A cell whose value is a `Vllm.RequestOutput` or a `Vllm.ChatCompletion` shows a tab with the text of each choice,
  and one with the whole.

  `render/2` shows a stream and returns the text, for the next line of the cell:

      {:ok, answer} = Vllm.Kino.render(stream)

  Kino is an optional dependency of this library; a Livebook installs it with `Mix.install/2`. All this was
  tested against stand-ins with the functions of Kino 0.19.0.
  """

  alias Vllm.Core.Integrations.StreamText
  alias Vllm.{Error, Stream}

  @doc """
  Shows the text of a stream piece by piece in a `Kino.Frame`, and returns the whole text.

  Of several choices the first is shown. The text is shown as it is; with `markdown: true` as Markdown.
  Items that have no text are shown too, as IEx prints them.

  A stream that fails returns its error; what has come before stays in the frame. Raises `ArgumentError`
  if Kino is not loaded, or for other options.
  """
  @spec render(Stream.t(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def render(stream, options \\ []) do
    %{markdown: markdown} =
      Vllm.Core.Options.validate!(
        [{:markdown, :boolean, false, "whether it is Markdown."}],
        options,
        "the options of Vllm.Kino.render/2"
      )

    kind = if markdown, do: Kino.Markdown, else: Kino.Text
    frame = kino(Kino.Frame, :new, [])
    kino(Kino, :render, [frame])

    {_known, text} =
      Enum.reduce(stream, {StreamText.new(), ""}, fn item, {known, text} ->
        {addition, known} = StreamText.add(known, item)
        {known, text <> show(addition, frame, kind)}
      end)

    {:ok, text}
  rescue
    error in Error -> {:error, error}
  end

  # Returns what is new of the text.
  defp show({:text, text}, frame, kind) when text != "" do
    kino(Kino.Frame, :append, [frame, kino(kind, :new, [text, [chunk: true]])])
    text
  end

  defp show({:term, term}, frame, _kind) do
    kino(Kino.Frame, :append, [frame, kino(Kino.Inspect, :new, [term])])
    ""
  end

  defp show(_nothing, _frame, _kind), do: ""

  # By apply, because Kino need not be there.
  defp kino(module, function, arguments) do
    unless Code.ensure_loaded?(module) do
      raise ArgumentError,
            "#{inspect(module)} is not loaded; add :kino to the dependencies of the Livebook"
    end

    apply(module, function, arguments)
  end
end
