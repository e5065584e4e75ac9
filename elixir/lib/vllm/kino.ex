defmodule Vllm.Kino do
  @moduledoc """
  Shows a stream in [Livebook](https://livebook.dev) while it comes.

      {:ok, stream} = Vllm.stream_chat(engine, "Why is the sky blue?", max_tokens: 200)
      {:ok, answer} = Vllm.Kino.render(stream)

  Kino is no dependency of this library; a Livebook installs it with `Mix.install/2`. It was tested against
  stand-ins with the functions of Kino 0.19.0.
  """

  alias Vllm.{ChatDelta, Error, RequestOutput, Stream}

  @doc """
  Shows the text of a stream piece by piece in a `Kino.Frame`, and returns the whole text.

  Takes a stream of `Vllm.stream_chat/3`, or one of `Vllm.AsyncLLM.generate/5` with the parameter
  `output_kind: :DELTA`. Of several choices the first is shown. The text is shown as it is; with
  `markdown: true` as Markdown.

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

    pieces =
      for item <- stream, piece = piece(item), piece not in [nil, ""] do
        kino(Kino.Frame, :append, [frame, kino(kind, :new, [piece, [chunk: true]])])
        piece
      end

    {:ok, IO.iodata_to_binary(pieces)}
  rescue
    error in Error -> {:error, error}
  end

  defp piece(%ChatDelta{index: 0, content: content}), do: content

  defp piece(%RequestOutput{outputs: outputs}),
    do: Enum.find_value(outputs, &(&1.index == 0 and &1.text))

  defp piece(_further_choice), do: nil

  # By apply, because Kino is no dependency.
  defp kino(module, function, arguments) do
    unless Code.ensure_loaded?(module) do
      raise ArgumentError,
            "#{inspect(module)} is not loaded; add :kino to the dependencies of the Livebook"
    end

    apply(module, function, arguments)
  end
end
