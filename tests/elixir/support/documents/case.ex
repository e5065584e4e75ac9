defmodule Vllm.Documents.Case do
  @moduledoc false
  # Tests that run the pages of the manual on a real engine:
  #
  #     use Vllm.Documents.Case, engine: :chat
  #
  # `prepared(page, context)` of the module returns what a page takes as given, beside `engine`. The page
  # runs in the folder that a setup puts into the context as `folder`.

  defmacro __using__(options) do
    engine =
      quote do
        use Vllm.VllmEngine, unquote(options)
        @stage unquote(Keyword.fetch!(options, :engine))
      end

    tests =
      quote unquote: false do
        for page <- Vllm.Documents.on(@stage) do
          test "the examples of #{page} run", %{engine: engine} = context do
            bindings = [engine: engine] ++ prepared(Path.basename(unquote(page)), context)
            folder = Map.get(context, :folder, ".")
            Vllm.Documents.Runner.run(unquote(page), @stage, bindings, in: folder)
          end
        end
      end

    {:__block__, [], [engine, tests]}
  end
end
