# How Livebook shows what a cell returns. Compiled only where Kino is, an optional dependency.
if Code.ensure_loaded?(Kino.Render) do
  defimpl Kino.Render, for: Vllm.Stream do
    alias Vllm.Core.Integrations.StreamDisplay

    # Kino ends the process when the cell is evaluated again.
    def to_livebook(stream) do
      frame = Kino.Frame.new()
      output = Kino.Render.to_livebook(frame)
      kind = if stream.method == "stream_chat", do: Kino.Markdown, else: Kino.Text
      show = &Kino.Frame.render(frame, kino(&1, kind))

      {:ok, _pid} =
        Kino.start_child(%{
          id: StreamDisplay,
          start: {Task, :start_link, [StreamDisplay, :run, [stream, show]]},
          restart: :temporary
        })

      output
    end

    defp kino([part], kind), do: part(part, kind)
    defp kino(parts, kind), do: parts |> Enum.map(&part(&1, kind)) |> Kino.Layout.grid()

    defp part({:text, text}, kind), do: kind.new(text)
    defp part({:term, term}, _kind), do: Kino.Inspect.new(term)

    defp part({:error, error}, _kind),
      do: Kino.Text.new(Exception.format_banner(:error, error), terminal: true)
  end

  defimpl Kino.Render, for: [Vllm.RequestOutput, Vllm.ChatCompletion] do
    # A tab for each choice, and one with the whole answer as IEx prints it.
    def to_livebook(answer) do
      kinos = kinos(answer)

      labels =
        if length(kinos) == 1, do: ["Text"], else: Enum.map(1..length(kinos)//1, &to_string/1)

      (Enum.zip(labels, kinos) ++ [{"Raw", Kino.Inspect.new(answer)}])
      |> Kino.Layout.tabs()
      |> Kino.Render.to_livebook()
    end

    defp kinos(%Vllm.RequestOutput{outputs: outputs}) when is_list(outputs),
      do: for(%{text: text} when is_binary(text) <- outputs, do: Kino.Text.new(text))

    defp kinos(%Vllm.ChatCompletion{choices: choices}) when is_list(choices),
      do: for(%{message: message} <- choices, do: message(message))

    defp kinos(_made_by_a_program), do: []

    defp message(%{content: text}) when is_binary(text) and text != "",
      do: Kino.Markdown.new(text)

    defp message(message), do: Kino.Inspect.new(message)
  end
end
