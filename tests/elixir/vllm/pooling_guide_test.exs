defmodule Vllm.RealEngine.PoolingGuideTest do
  # The guide "Pooling" and the README's examples of it are executed, with a model whose embeddings
  # have a meaning: what they say to be most similar is.
  use Vllm.VllmEngine, engine: :embed, also: [classifier: :classify]

  for path <- ["elixir/guides/pooling.md", "README.md"] do
    test "the examples of #{path} run", %{engine: engine, classifier: classifier} do
      blocks =
        for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, File.read!(unquote(path))),
            block =~ "embedder" or block =~ "classifier",
            do: block

      assert blocks != []

      Enum.reduce(blocks, [embedder: engine, classifier: classifier], fn block, bindings ->
        {value, bindings} = Code.eval_string(block, bindings)
        refute match?({:error, _}, value)
        bindings
      end)
    end
  end
end
